// SPDX-License-Identifier: GPL-2.0

//! One message, and what must come of it.

use anyhow::{bail, ensure, Context, Result};

use crate::netlink::{Answer, End, Message, Part};
use crate::vdpa::family::{describe, errno_name, text};
use crate::vdpa::schema::attribute;
use crate::vdpa::shape;

/// What must come of a message.
///
/// Where several error numbers are allowed, the case says why.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Refused by the family or its policy, with one of these numbers and a message for people.
    Refused(&'static [i32]),
    /// Refused by netlink before the family is asked, which needs no message.
    RefusedEarly(&'static [i32]),
    /// Neither answered nor carried out.
    Silence,
    /// Acknowledged, although there is nothing to be done.
    Acknowledged,
    /// Answered, as the flaw is one that netlink ignores: about what has this name.
    Answered(String),
    /// Answered about all there are.
    AnsweredAll,
    /// Carried out: afterwards there is a device of exactly this name.
    Made(String),
    /// Either refused, as in [`Expect::Refused`], or answered about what has this name.
    RefusedOrAnswered(&'static [i32], String),
    /// Either refused, as in [`Expect::Refused`], or carried out: afterwards there is a device of
    /// exactly this name.
    RefusedOrMade(&'static [i32], String),
}

/// One message, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The check's name.
    pub name: String,
    /// What to send.
    pub message: Message,
    /// What must come of it.
    pub expect: Expect,
}

impl Case {
    /// Makes a case.
    pub fn new(name: impl Into<String>, message: Message, expect: Expect) -> Self {
        Self {
            name: name.into(),
            message,
            expect,
        }
    }

    /// The name of the device that there may be afterwards.
    pub fn made(&self) -> Option<&str> {
        match &self.expect {
            Expect::Made(name) | Expect::RefusedOrMade(_, name) => Some(name),
            _ => None,
        }
    }
}

/// Compares an answer with what is expected.
pub fn judge(expect: &Expect, answer: &Answer) -> Result<()> {
    for part in &answer.parts {
        shape::check(part)?;
    }
    match expect {
        Expect::Refused(errnos) => refused(answer, errnos, true),
        Expect::RefusedEarly(errnos) => refused(answer, errnos, false),
        Expect::Silence => is(answer, &End::Silent),
        Expect::Acknowledged | Expect::Made(_) => is(answer, &End::Done),
        Expect::Answered(name) => answered(answer, name),
        Expect::AnsweredAll => {
            ensure!(answer.end == End::Done, "{}", describe(answer));
            Ok(())
        }
        Expect::RefusedOrAnswered(errnos, name) => match answer.end {
            End::Refused(_) => refused(answer, errnos, true),
            _ => answered(answer, name),
        },
        Expect::RefusedOrMade(errnos, _) => match answer.end {
            End::Refused(_) => refused(answer, errnos, true),
            _ => is(answer, &End::Done),
        },
    }
}

/// Fails unless an answer is only this end.
fn is(answer: &Answer, end: &End) -> Result<()> {
    ensure!(
        answer.parts.is_empty() && answer.end == *end,
        "{}",
        describe(answer)
    );
    Ok(())
}

/// Fails unless an answer is one part about what has this name.
fn answered(answer: &Answer, name: &str) -> Result<()> {
    match (&answer.parts[..], &answer.end) {
        ([part], End::Done) => {
            let found = about(part).context("the answer names nothing")?;

            ensure!(found == name, "the answer is about {found:?}");
            Ok(())
        }
        _ => bail!("{}", describe(answer)),
    }
}

/// What an answer is about.
pub fn about(part: &Part) -> Option<String> {
    text(part, attribute::DEV_NAME).or_else(|| text(part, attribute::MGMTDEV_DEV_NAME))
}

/// Fails unless an answer is a refusal with one of `errnos`, and a message if there must be one.
fn refused(answer: &Answer, errnos: &[i32], message: bool) -> Result<()> {
    let End::Refused(refusal) = &answer.end else {
        bail!("it is not refused: {}", describe(answer));
    };

    ensure!(answer.parts.is_empty(), "{}", describe(answer));
    ensure!(
        errnos.contains(&refusal.errno),
        "{}, but the error should be {}",
        describe(answer),
        errnos
            .iter()
            .map(|errno| errno_name(*errno))
            .collect::<Vec<_>>()
            .join(" or ")
    );
    match &refusal.message {
        Some(text) => is_useful(text),
        None => {
            ensure!(!message, "{}", describe(answer));
            Ok(())
        }
    }
}

/// Fails unless a message is one line of text for people.
fn is_useful(message: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(message).context("the message is not text")?;

    ensure!(
        text.len() >= 8 && !text.chars().any(char::is_control),
        "the message {text:?} is of no use"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::Refusal;

    fn refusal(errno: i32, message: Option<&[u8]>) -> Answer {
        Answer {
            parts: Vec::new(),
            end: End::Refused(Refusal {
                errno,
                message: message.map(<[u8]>::to_vec),
                offset: None,
            }),
        }
    }

    #[test]
    fn a_refusal_needs_its_number_and_a_message() {
        let expect = Expect::Refused(&[libc::EINVAL]);
        assert!(judge(&expect, &refusal(libc::EINVAL, Some(b"no such thing"))).is_ok());
        assert!(judge(&expect, &refusal(libc::EINVAL, None)).is_err());
        assert!(judge(&expect, &refusal(libc::EINVAL, Some(b"bad\n"))).is_err());
        assert!(judge(&expect, &refusal(libc::ENODEV, Some(b"no such thing"))).is_err());

        let expect = Expect::RefusedEarly(&[libc::EPERM]);
        assert!(judge(&expect, &refusal(libc::EPERM, None)).is_ok());
    }

    #[test]
    fn silence_is_no_acknowledgement() {
        let answer = |end| Answer {
            parts: Vec::new(),
            end,
        };
        assert!(judge(&Expect::Silence, &answer(End::Silent)).is_ok());
        assert!(judge(&Expect::Silence, &answer(End::Done)).is_err());
        assert!(judge(&Expect::Acknowledged, &answer(End::Silent)).is_err());
    }
}
