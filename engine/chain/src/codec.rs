//! The few readers and writers that all formats of the chain share. Big-endian, no padding, every length bounded
//! before anything is kept; `Option` because a peer's bad bytes need no reason here: they are dropped and counted.

use nom::bytes::complete::take;
use nom::error::{Error, ErrorKind};
pub(crate) use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};

/// What a parser gives.
pub(crate) type Parsed<'a, T> = nom::IResult<&'a [u8], T, Error<&'a [u8]>>;

/// Refuses.
pub(crate) fn refuse<T>(input: &[u8]) -> Parsed<'_, T> {
    Err(nom::Err::Error(Error::new(input, ErrorKind::Verify)))
}

/// Reads all of `bytes`; trailing bytes are refused.
pub(crate) fn whole<'a, T>(bytes: &'a [u8], parser: impl Fn(&'a [u8]) -> Parsed<'a, T>) -> Option<T> {
    match parser(bytes) {
        Ok(([], value)) => Some(value),
        Ok(_) | Err(_) => None,
    }
}

/// A fixed number of bytes.
pub(crate) fn array<const N: usize>(input: &[u8]) -> Parsed<'_, [u8; N]> {
    let (rest, bytes) = take(N)(input)?;
    match <[u8; N]>::try_from(bytes) {
        Ok(array) => Ok((rest, array)),
        Err(_) => refuse(input),
    }
}

/// u32 length and so many bytes, at most `limit`. They are lent, not copied: who keeps a block keeps the buffer that it came
/// in (`Bytes::slice_ref`), where little else stands.
pub(crate) fn bytes32(input: &[u8], limit: usize) -> Parsed<'_, &[u8]> {
    let (rest, length) = be_u32(input)?;
    match usize::try_from(length) {
        Ok(length) if length <= limit => take(length)(rest),
        _ => refuse(input),
    }
}

/// `count` items, one after the other. The count is checked against the input before anything is allocated.
pub(crate) fn items<T>(
    input: &[u8],
    count: usize,
    smallest: usize,
    item: impl Fn(&[u8]) -> Parsed<'_, T>,
) -> Parsed<'_, Vec<T>> {
    if count.saturating_mul(smallest) > input.len() {
        return refuse(input);
    }
    let mut list = Vec::with_capacity(count);
    let mut rest = input;
    for _ in 0..count {
        let (after, value) = item(rest)?;
        list.push(value);
        rest = after;
    }
    Ok((rest, list))
}

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_bytes32(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, count32(bytes.len()));
    out.extend_from_slice(bytes);
}

/// A count of things that are bounded far below 2^32.
pub(crate) fn count32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A count of things that are bounded far below 2^16.
pub(crate) fn count16(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}
