//! Whether what came is what a script expects.

use bytes::Bytes;
use volley_proto::{Control, Reason, ReplyKind};

use super::conversation::{Incoming, Reply};
use super::statement::Pattern;

/// What came is not what was expected.
#[derive(Debug)]
pub(super) struct Unexpected {
    /// In words.
    pub(super) why: String,
    /// The payload that should have come, if there is only one.
    pub(super) due: Option<Bytes>,
    /// The payload that came, if one did.
    pub(super) received: Option<Bytes>,
}

impl Unexpected {
    fn said(why: impl Into<String>) -> Self {
        Self { why: why.into(), due: None, received: None }
    }
}

/// Matches what came with a pattern.
pub(super) fn judge(pattern: &Pattern, incoming: &Incoming) -> Result<(), Unexpected> {
    match incoming {
        Incoming::Reply(reply) => judge_reply(pattern, reply),
        Incoming::Control(control) => judge_control(pattern, control),
        Incoming::Close if matches!(pattern, Pattern::Close) => Ok(()),
        Incoming::Close => Err(Unexpected::said("the server closed the connection")),
    }
}

fn judge_reply(pattern: &Pattern, reply: &Reply) -> Result<(), Unexpected> {
    let Reply { seq, payload, .. } = reply;
    let (is_right, why, due) = match pattern {
        Pattern::Any => return Ok(()),
        Pattern::Echo => return judge_answer(reply, ReplyKind::Echo),
        Pattern::Receipt => return judge_answer(reply, ReplyKind::Ack),
        Pattern::Exact(due) => {
            (payload == due, format!("reply {seq} is not the one that was expected"), Some(due))
        }
        Pattern::Prefix(due) => {
            let why = format!("reply {seq} does not begin as expected");
            (payload.starts_with(due), why, Some(due))
        }
        Pattern::Regex(regex) => {
            (regex.is_match(payload), format!("reply {seq} does not match /{regex}/"), None)
        }
        Pattern::Welcome => (false, format!("reply {seq} came, not WELCOME"), None),
        Pattern::GoAway(_) => (false, format!("reply {seq} came, not GOAWAY"), None),
        Pattern::Error(_) => (false, format!("reply {seq} came, not ERROR"), None),
        Pattern::Close => (false, format!("reply {seq} came, not the server's close"), None),
    };
    if is_right {
        return Ok(());
    }
    Err(Unexpected { why, due: due.cloned(), received: Some(payload.clone()) })
}

/// Whether it is the reply that its frame must get.
fn judge_answer(reply: &Reply, kind: ReplyKind) -> Result<(), Unexpected> {
    let received = Some(reply.payload.clone());
    let Some(arrival) = reply.arrival(kind) else {
        let why = format!("reply {} answers no frame", reply.seq);
        return Err(Unexpected { why, due: None, received });
    };
    match arrival.check() {
        Ok(_) => Ok(()),
        Err(mismatch) => {
            Err(Unexpected { why: mismatch.to_string(), due: Some(arrival.due()), received })
        }
    }
}

fn judge_control(pattern: &Pattern, control: &Control) -> Result<(), Unexpected> {
    let name = control.name();
    match (pattern, control) {
        (Pattern::Welcome, Control::Welcome { .. }) => Ok(()),
        (Pattern::GoAway(wanted), Control::GoAway { reason, .. })
        | (Pattern::Error(wanted), Control::Error { reason, .. }) => {
            judge_reason(name, *wanted, *reason)
        }
        _ => Err(Unexpected::said(format!("{name} came from the server"))),
    }
}

fn judge_reason(name: &str, wanted: Option<Reason>, reason: Reason) -> Result<(), Unexpected> {
    match wanted {
        Some(wanted) if wanted != reason => {
            Err(Unexpected::said(format!("the {name} says {reason}, not {wanted}")))
        }
        _ => Ok(()),
    }
}
