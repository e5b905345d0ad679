//! The lease that a master asks its members for (design R7): extensions of Append and Ack (spec/wire.md 7.24, 7.25).
//!
//! A value of another length is as if the extension were absent: then there is no lease, which is always safe.

use crate::tlv::Extensions;

/// Extension 0x0001 of Append.
const REQUEST: u16 = 0x0001;
/// Extension 0x0001 of Ack.
const GIVEN: u16 = 0x0001;

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
        let value: [u8; 12] = extensions.get(REQUEST)?.try_into().ok()?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, span @ ..] = value;
        let nonce = u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        Some(Self { nonce, span_us: u32::from_be_bytes(span) })
    }

    /// The extensions of an Append that asks for it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        let mut value = Vec::with_capacity(12);
        value.extend(self.nonce.to_be_bytes());
        value.extend(self.span_us.to_be_bytes());
        one(REQUEST, &value)
    }
}

impl LeaseGiven {
    /// What an Ack gives. Only 0 and 1 are states of a copy; any other is as if the extension were absent.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let value: [u8; 17] = extensions.get(GIVEN)?.try_into().ok()?;
        let [n0, n1, n2, n3, n4, n5, n6, n7, state, position @ ..] = value;
        let is_in_step = match state {
            0 => false,
            1 => true,
            _ => return None,
        };
        let nonce = u64::from_be_bytes([n0, n1, n2, n3, n4, n5, n6, n7]);
        Some(Self { nonce, is_in_step, position: u64::from_be_bytes(position) })
    }

    /// The extensions of an Ack that gives it.
    #[must_use]
    pub fn extensions(self) -> Extensions {
        let mut value = Vec::with_capacity(17);
        value.extend(self.nonce.to_be_bytes());
        value.push(u8::from(self.is_in_step));
        value.extend(self.position.to_be_bytes());
        one(GIVEN, &value)
    }
}

fn one(kind: u16, value: &[u8]) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(kind, value);
    extensions
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
            let extensions = one(0x0001, &vec![0; length]);
            assert_eq!(LeaseRequest::of(&extensions), None, "{length}");
            assert_eq!(LeaseGiven::of(&extensions), None, "{length}");
        }
        let value = [0, 0, 0, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(LeaseGiven::of(&one(0x0001, &value)), None);
        assert_eq!(LeaseRequest::of(&Extensions::new()), None);
    }
}
