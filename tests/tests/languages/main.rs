//! Servers and clients in other languages, which know nothing of Volley, against its programs. What
//! they are is in `programs/`, how they are run in `language.rs`. A language that is not installed is
//! skipped.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, also in what it calls")]
#![expect(
    clippy::print_stdout,
    reason = "what skips a test says why, and so does a server that fails"
)]

mod client;
mod echo_server;
mod language;
mod server;

/// Makes each check a test of each language, such as `erlang::server::answers_volley_ping`.
macro_rules! tests {
    ($($name:ident: $language:ident),* => $checks:tt) => {
        $(mod $name { tests!(@of $language $checks); })*
    };
    (@of $language:ident { $($part:ident: [$($check:ident,)*],)* }) => {
        $(mod $part {
            $(#[tokio::test]
            async fn $check() {
                crate::$part::$check(&crate::language::$language).await;
            })*
        })*
    };
}

tests! {
    erlang: ERLANG, go: GO, node: NODE, python: PYTHON => {
        server: [
            gives_every_line_of_volley_send_back,
            gives_a_megabyte_of_volley_send_back,
            answers_volley_ping,
            is_there_for_volley_wait,
            passes_the_plain_scripts_of_the_examples,
            loses_no_frame_of_volley_load,
            turns_away_what_is_no_frame,
        ],
        client: [
            gets_every_echo_of_volleyd,
            does_not_take_a_receipt_for_an_echo,
            does_not_take_an_error_for_an_echo,
        ],
    }
}
