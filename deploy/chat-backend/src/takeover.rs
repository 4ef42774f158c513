//! What operators do with a conversation, and what that makes of it: pure decisions. PROTOCOL.md, section 8.

use crate::handling::{Handling, WaitingReason};

/// The operator who has a conversation, as visitors and colleagues see the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) operator_id: String,
    pub(crate) display_name: String,
    pub(crate) avatar_url: Option<String>,
}

/// What an operator wants of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Claim,
    Release,
    HandBack,
    Resolve,
    Reopen,
    Assign(Holder),
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is as the operator wants it already.
    Unchanged,
    /// Who answers from now on.
    Next { handling: Handling, holder: Option<Holder> },
}

/// Why it stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Another operator has it.
    AlreadyClaimed(Holder),
    /// It is not this operator's.
    NotAssigned,
    /// It is resolved: it must be reopened first.
    IsResolved,
    /// It is not resolved, so it cannot be reopened.
    IsNotResolved,
}

/// Decides what an operator's wish makes of a conversation that is handled so, and held by this operator, if by any.
pub(crate) fn decide(
    wish: &Wish,
    by: &Holder,
    handling: Handling,
    holder: Option<&Holder>,
) -> Result<Outcome, Refused> {
    let is_mine = handling == Handling::Assigned && holder.is_some_and(|holder| holder.operator_id == by.operator_id);
    let next = |handling, holder| Ok(Outcome::Next { handling, holder });
    match wish {
        Wish::Claim => match (handling, holder) {
            (Handling::Resolved, _) => Err(Refused::IsResolved),
            (Handling::Assigned, _) if is_mine => Ok(Outcome::Unchanged),
            (Handling::Assigned, Some(other)) => Err(Refused::AlreadyClaimed(other.clone())),
            // No operator has it. A person may have answered in it through the tenant's backend.
            _ => next(Handling::Assigned, Some(by.clone())),
        },
        Wish::Assign(to) => match (handling, holder) {
            (Handling::Resolved, _) => Err(Refused::IsResolved),
            (Handling::Assigned, Some(holder)) if holder.operator_id == to.operator_id => Ok(Outcome::Unchanged),
            (Handling::Assigned, Some(other)) if !is_mine => Err(Refused::AlreadyClaimed(other.clone())),
            _ => next(Handling::Assigned, Some(to.clone())),
        },
        Wish::Reopen => match handling {
            Handling::Resolved => next(Handling::Assigned, Some(by.clone())),
            Handling::Assigned if is_mine => Ok(Outcome::Unchanged),
            _ => Err(Refused::IsNotResolved),
        },
        Wish::Release | Wish::HandBack | Wish::Resolve if !is_mine => match (handling, holder) {
            (Handling::Assigned, Some(other)) => Err(Refused::AlreadyClaimed(other.clone())),
            (Handling::Resolved, _) => Err(Refused::IsResolved),
            _ => Err(Refused::NotAssigned),
        },
        Wish::Release => next(Handling::Waiting(WaitingReason::Released), None),
        Wish::HandBack => next(Handling::Bot, None),
        Wish::Resolve => next(Handling::Resolved, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(id: &str) -> Holder {
        Holder { operator_id: id.to_owned(), display_name: id.to_uppercase(), avatar_url: None }
    }

    const WISHES: [fn() -> Wish; 6] = [
        || Wish::Claim,
        || Wish::Release,
        || Wish::HandBack,
        || Wish::Resolve,
        || Wish::Reopen,
        || Wish::Assign(operator("c")),
    ];

    #[test]
    fn every_wish_in_every_state_has_one_answer() {
        use Handling::{Assigned, Bot, Resolved, Waiting};
        let (me, other) = (operator("a"), operator("b"));
        let mine = || Ok(Outcome::Next { handling: Assigned, holder: Some(operator("a")) });
        let theirs = || Ok(Outcome::Next { handling: Assigned, holder: Some(operator("c")) });
        let nobodys = |handling| Ok(Outcome::Next { handling, holder: None });
        let released = Waiting(WaitingReason::Released);
        let taken = || Err(Refused::AlreadyClaimed(operator("b")));
        let not_mine = || Err(Refused::NotAssigned);
        let (resolved, not_resolved) = (|| Err(Refused::IsResolved), || Err(Refused::IsNotResolved));
        for (handling, holder, expected) in [
            // In the order of WISHES: claim, release, hand back, resolve, reopen, assign.
            (Bot, None, [mine(), not_mine(), not_mine(), not_mine(), not_resolved(), theirs()]),
            (
                Waiting(WaitingReason::UserRequest),
                None,
                [mine(), not_mine(), not_mine(), not_mine(), not_resolved(), theirs()],
            ),
            (Assigned, None, [mine(), not_mine(), not_mine(), not_mine(), not_resolved(), theirs()]),
            (
                Assigned,
                Some(&me),
                [
                    Ok(Outcome::Unchanged),
                    nobodys(released),
                    nobodys(Bot),
                    nobodys(Resolved),
                    Ok(Outcome::Unchanged),
                    theirs(),
                ],
            ),
            (Assigned, Some(&other), [taken(), taken(), taken(), taken(), not_resolved(), taken()]),
            (Resolved, None, [resolved(), resolved(), resolved(), resolved(), mine(), resolved()]),
        ] {
            for (wish, expected) in WISHES.iter().zip(expected) {
                let wish = wish();
                assert_eq!(decide(&wish, &me, handling, holder), expected, "{wish:?} of {handling:?} of {holder:?}");
            }
        }
    }
}
