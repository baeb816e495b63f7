//! A server with replies of its own: each frame comes back in capitals.
//!
//! ```console
//! $ cargo run --example shout
//! $ cargo run --bin volley -- send --to 127.0.0.1:7008 hello   # says that HELLO is not hello
//! ```
#![allow(clippy::print_stdout)]

use volley_server::{Config, Replied, Request, Responder, Slot, bind, serve_with};

#[derive(Clone)]
struct Shout;

impl Responder for Shout {
    fn respond(&mut self, request: &Request<'_>, slot: Slot<'_, '_>) -> Replied {
        slot.send(&request.payload().to_ascii_uppercase())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = bind("127.0.0.1:7008".parse()?)?;
    println!("listening tcp://{}", listener.local_addr()?);
    let books = serve_with(listener, Config::default(), Shout, tokio::signal::ctrl_c()).await?;
    println!("{books}");
    Ok(())
}
