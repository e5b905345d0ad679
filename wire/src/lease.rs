//! The lease that a master asks its members for (design R7): extensions of Append and Ack (spec/wire.md 7.24, 7.25).
//!
//! A value of another length is as if the extension were absent: then there is no lease, which is always safe.

use crate::assigned::LEASE;
use crate::tlv::Extensions;

/// The master asks: may I act outside the chain for so long, from the moment of sending this?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseRequest {
    /// Named by the answer; fresh with each request.
    pub nonce: u64,
    /// Microseconds; 0: it has stopped acting for good, whatever was given before is given back.
    pub span_us: u32,
}

/// The member answers: so long as this lasts, nobody that I make a successor acts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseGiven {
    /// Of the request; 0: none was asked for, only the copy's state is told.
    pub nonce: u64,
    /// Whether the member's own copy of what acts outside is in step with the master's.
    pub is_in_step: bool,
    /// How far that copy is, as its program counts; only compared with itself.
    pub position: u64,
}

impl LeaseRequest {
    /// What an Append asks for.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (nonce, span_us) = extensions.field(LEASE)?;
        Some(Self { nonce, span_us })
    }

    /// The extensions of an Append that asks for it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        Extensions::of(LEASE, &(self.nonce, self.span_us))
    }
}

impl LeaseGiven {
    /// What an Ack gives. Only 0 and 1 are states of a copy; any other is as if the extension were absent.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let (nonce, (is_in_step, position)) = extensions.field(LEASE)?;
        Some(Self { nonce, is_in_step, position })
    }

    /// The extensions of an Ack that gives it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        Extensions::of(LEASE, &(self.nonce, (self.is_in_step, self.position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_these_bytes_both_ways() {
        let request = LeaseRequest { nonce: 0x0102_0304_0506_0708, span_us: 0x0098_9680 };
        let extensions = request.extensions();
        let literal = [1, 2, 3, 4, 5, 6, 7, 8, 0x00, 0x98, 0x96, 0x80];
        assert_eq!(extensions.get(0x0001), Some(&literal[..]));
        assert_eq!(LeaseRequest::of(&extensions), Some(request));
    }

    #[test]
    fn an_answer_is_these_bytes_both_ways() {
        let given = LeaseGiven { nonce: 9, is_in_step: true, position: 0x0A0B };
        let extensions = given.extensions();
        let literal = [0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0x0A, 0x0B];
        assert_eq!(extensions.get(0x0001), Some(&literal[..]));
        assert_eq!(LeaseGiven::of(&extensions), Some(given));
    }

    #[test]
    fn a_value_of_another_length_or_state_is_as_if_absent() {
        for length in [0, 11, 13, 16, 18] {
            let extensions = Extensions::one(0x0001, &vec![0; length]);
            assert_eq!(LeaseRequest::of(&extensions), None, "{length}");
            assert_eq!(LeaseGiven::of(&extensions), None, "{length}");
        }
        let value = [0, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(LeaseGiven::of(&Extensions::one(0x0001, &value)), None);
        assert_eq!(LeaseRequest::of(&Extensions::new()), None);
    }
}
