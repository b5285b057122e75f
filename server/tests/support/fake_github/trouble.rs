//! What may go wrong with a call, scripted.

use std::sync::Mutex;

use super::answers::Answer;

/// How a call goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// It is answered so, and does nothing.
    Answer(Answer),
    /// It is sent elsewhere.
    RedirectTo(String),
    /// The connection ends, and nothing was done.
    CutBefore,
    /// It was done, and the connection ends without an answer.
    CutAfter,
    /// It is never answered, and nothing is done.
    Hang,
}

/// Something that is to go wrong.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// `GET`, `POST`…, or `GIT`.
    method: &'static str,
    /// A part of the path.
    path: String,
    manner: Manner,
    times: u32,
}

impl Trouble {
    /// Once, at the next call of this method whose path has this part.
    pub(crate) fn at(method: &'static str, path: &str, manner: Manner) -> Self {
        Self {
            method,
            path: path.into(),
            manner,
            times: 1,
        }
    }

    pub(crate) fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }
}

/// Returns what goes wrong with this call.
pub(super) fn take(troubles: &Mutex<Vec<Trouble>>, method: &str, path: &str) -> Option<Manner> {
    let mut troubles = troubles.lock().unwrap();
    let index = troubles
        .iter()
        .position(|trouble| trouble.method == method && path.contains(&trouble.path))?;
    let manner = troubles[index].manner.clone();
    troubles[index].times -= 1;
    if troubles[index].times == 0 {
        troubles.remove(index);
    }
    Some(manner)
}
