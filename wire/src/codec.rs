//! The parts every packet is made of: a nom parser and its mirror image for each kind of field.
//!
//! A parser names the field it was reading. Counts are compared with the bytes that are left before
//! anything is allocated. Encoding is total: a list or string beyond its count's range is cut to the range
//! (callers keep within it; the limits are in spec/wire.md).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use nom::{Parser, bytes::complete::take};

use crate::{
    error::DecodeError,
    ids::{ClusterId, Epoch, Height, LogIndex, NodeId, RoomId, Version},
};

pub(crate) type Parsed<'a, T> = Result<(&'a [u8], T), nom::Err<DecodeError>>;

/// One kind of field.
pub(crate) trait Field: Sized {
    /// The fewest bytes one of these takes: bounds a list before it is allocated.
    const LEAST: usize;
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self>;
    fn put(&self, out: &mut BytesMut);
}

/// Takes a field off the front of `input`.
#[inline]
pub(crate) fn get<T: Field>(input: &mut &[u8], field: &'static str) -> Result<T, DecodeError> {
    let (rest, value) = T::parse(input, field)?;
    *input = rest;
    Ok(value)
}

/// Parses one `T` and nothing after it.
pub(crate) fn whole<T: Field>(bytes: &[u8], field: &'static str) -> Result<T, DecodeError> {
    let (rest, value) = T::parse(bytes, field)?;
    if rest.is_empty() { Ok(value) } else { Err(DecodeError::TrailingBytes) }
}

pub(crate) const fn bad_value(field: &'static str) -> nom::Err<DecodeError> {
    nom::Err::Failure(DecodeError::BadValue { field })
}

#[inline]
fn cut<'a>(field: &'static str) -> impl Fn(nom::Err<DecodeError>) -> nom::Err<DecodeError> + use<'a> {
    move |_| nom::Err::Error(DecodeError::Truncated { field })
}

#[inline]
pub(crate) fn slice<'a>(input: &'a [u8], count: usize, field: &'static str) -> Parsed<'a, &'a [u8]> {
    take(count).parse(input).map_err(cut(field))
}

macro_rules! integers {
    ($($ty:ty, $width:literal, $put:ident;)*) => {$(
        impl Field for $ty {
            const LEAST: usize = $width;
            #[inline]
            fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
                let (rest, bytes) = <[u8; $width]>::parse(input, field)?;
                Ok((rest, <$ty>::from_be_bytes(bytes)))
            }
            #[inline]
            fn put(&self, out: &mut BytesMut) {
                out.$put(*self);
            }
        }
    )*};
}
integers! {
    u8, 1, put_u8;
    u16, 2, put_u16;
    u32, 4, put_u32;
    u64, 8, put_u64;
}

/// One after the other.
impl<A: Field, B: Field> Field for (A, B) {
    const LEAST: usize = A::LEAST + B::LEAST;
    #[inline]
    fn parse<'a>(mut input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        let input = &mut input;
        let pair = (get(input, field)?, get(input, field)?);
        Ok((input, pair))
    }
    #[inline]
    fn put(&self, out: &mut BytesMut) {
        self.0.put(out);
        self.1.put(out);
    }
}

macro_rules! numbers {
    ($($ty:ident($inner:ty),)*) => {$(
        impl Field for $ty {
            const LEAST: usize = <$inner>::LEAST;
            #[inline]
            fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
                let (rest, value) = <$inner>::parse(input, field)?;
                Ok((rest, Self(value)))
            }
            #[inline]
            fn put(&self, out: &mut BytesMut) {
                self.0.put(out);
            }
        }
    )*};
}
numbers! { ClusterId(u32), NodeId(u32), Epoch(u64), Version(u64), Height(u64), RoomId(u16), LogIndex(u64), }

/// An enum of one byte: an unknown value is refused.
macro_rules! code_enum {
    ($(#[$doc:meta])* $name:ident {
        $(#[$fdoc:meta])* $first:ident = $fcode:literal,
        $($(#[$vdoc:meta])* $variant:ident = $code:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(u8)]
        pub enum $name { $(#[$fdoc])* #[default] $first = $fcode, $($(#[$vdoc])* $variant = $code,)* }

        impl $name {
            /// All values, in the order of their codes.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$variant),*];

            /// The value's code on the wire.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { Self::$first => $fcode, $(Self::$variant => $code,)* }
            }

            /// The value of a code; `None` if the code is not assigned.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $fcode => Some(Self::$first), $($code => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::codec::Field for $name {
            const LEAST: usize = 1;
            #[inline]
            fn parse<'a>(input: &'a [u8], field: &'static str) -> $crate::codec::Parsed<'a, Self> {
                let (rest, code) = <u8 as $crate::codec::Field>::parse(input, field)?;
                Ok((rest, Self::from_code(code).ok_or($crate::codec::bad_value(field))?))
            }
            #[inline]
            fn put(&self, out: &mut bytes::BytesMut) {
                $crate::codec::Field::put(&self.code(), out);
            }
        }
    };
}
pub(crate) use code_enum;

impl Field for bool {
    const LEAST: usize = 1;
    #[inline]
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        match u8::parse(input, field)? {
            (rest, 0) => Ok((rest, false)),
            (rest, 1) => Ok((rest, true)),
            _ => Err(bad_value(field)),
        }
    }
    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
}

impl<const N: usize> Field for [u8; N] {
    const LEAST: usize = N;
    #[inline]
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        // By the chunk: nom's own integers go byte by byte.
        let Some((bytes, rest)) = input.split_first_chunk() else {
            return Err(nom::Err::Error(DecodeError::Truncated { field }));
        };
        Ok((rest, *bytes))
    }
    #[inline]
    fn put(&self, out: &mut BytesMut) {
        out.put_slice(self);
    }
}

/// u8 family (4 or 6), the address, u16 port. Flow information and scope are not carried.
impl Field for SocketAddr {
    const LEAST: usize = 7;
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        let (rest, family) = u8::parse(input, field)?;
        let (rest, ip) = match family {
            4 => {
                let (rest, octets) = <[u8; 4]>::parse(rest, field)?;
                (rest, IpAddr::V4(Ipv4Addr::from(octets)))
            }
            6 => {
                let (rest, octets) = <[u8; 16]>::parse(rest, field)?;
                (rest, IpAddr::V6(Ipv6Addr::from(octets)))
            }
            _ => return Err(bad_value(field)),
        };
        let (rest, port) = u16::parse(rest, field)?;
        Ok((rest, Self::new(ip, port)))
    }
    fn put(&self, out: &mut BytesMut) {
        match self.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
        out.put_u16(self.port());
    }
}

/// u8 0 or 1, then the value if 1.
impl<T: Field> Field for Option<T> {
    const LEAST: usize = 1;
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        let (rest, present) = bool::parse(input, field)?;
        if !present {
            return Ok((rest, None));
        }
        let (rest, value) = T::parse(rest, field)?;
        Ok((rest, Some(value)))
    }
    fn put(&self, out: &mut BytesMut) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
}

/// u8 length, then UTF-8.
impl Field for String {
    const LEAST: usize = 1;
    fn parse<'a>(input: &'a [u8], field: &'static str) -> Parsed<'a, Self> {
        let (rest, length) = u8::parse(input, field)?;
        let (rest, bytes) = slice(rest, usize::from(length), field)?;
        let text = core::str::from_utf8(bytes).map_err(|_| bad_value(field))?;
        Ok((rest, text.to_owned()))
    }
    fn put(&self, out: &mut BytesMut) {
        let text = self.get(..self.floor_char_boundary(usize::from(u8::MAX))).unwrap_or_default();
        out.put_u8(u8::try_from(text.len()).unwrap_or_default());
        out.put_slice(text.as_bytes());
    }
}

/// Bytes with a u16 length.
pub(crate) fn get_bytes16(input: &mut &[u8], field: &'static str) -> Result<Bytes, DecodeError> {
    let length = get::<u16>(input, field)?;
    let (rest, bytes) = slice(input, usize::from(length), field)?;
    *input = rest;
    Ok(Bytes::copy_from_slice(bytes))
}

pub(crate) fn put_bytes16(bytes: &[u8], out: &mut BytesMut) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.put_slice(bytes.get(..usize::from(length)).unwrap_or_default());
}

/// Bytes with a u32 length.
pub(crate) fn get_bytes32(input: &mut &[u8], field: &'static str) -> Result<Bytes, DecodeError> {
    let length = get::<u32>(input, field)?;
    let length = usize::try_from(length).map_err(|_| DecodeError::Truncated { field })?;
    let (rest, bytes) = slice(input, length, field)?;
    *input = rest;
    Ok(Bytes::copy_from_slice(bytes))
}

pub(crate) fn put_bytes32(bytes: &[u8], out: &mut BytesMut) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.put_u32(length);
    out.put_slice(bytes);
}

fn items<T: Field>(input: &mut &[u8], count: usize, field: &'static str) -> Result<Vec<T>, DecodeError> {
    if count.checked_mul(T::LEAST).is_none_or(|least| least > input.len()) {
        return Err(DecodeError::Truncated { field });
    }
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(get(input, field)?);
    }
    Ok(list)
}

/// A list with a u16 count.
pub(crate) fn get_list<T: Field>(input: &mut &[u8], field: &'static str) -> Result<Vec<T>, DecodeError> {
    let count = get::<u16>(input, field)?;
    items(input, usize::from(count), field)
}

pub(crate) fn put_list<T: Field>(list: &[T], out: &mut BytesMut) {
    let count = u16::try_from(list.len()).unwrap_or(u16::MAX);
    out.put_u16(count);
    for item in list.iter().take(usize::from(count)) {
        item.put(out);
    }
}

/// A list with a u32 count.
pub(crate) fn get_list32<T: Field>(input: &mut &[u8], field: &'static str) -> Result<Vec<T>, DecodeError> {
    let count = get::<u32>(input, field)?;
    let count = usize::try_from(count).map_err(|_| DecodeError::Truncated { field })?;
    items(input, count, field)
}

pub(crate) fn put_list32<T: Field>(list: &[T], out: &mut BytesMut) {
    out.put_u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
    for item in list {
        item.put(out);
    }
}

/// A list with a u16 count whose keys ascend strictly.
pub(crate) fn get_ascending<T: Field, K: Ord>(
    input: &mut &[u8],
    field: &'static str,
    key: impl Fn(&T) -> K,
) -> Result<Vec<T>, DecodeError> {
    let list = get_list(input, field)?;
    require_ascending(&list, field, key)?;
    Ok(list)
}

pub(crate) fn require_ascending<T, K: Ord>(
    list: &[T],
    field: &'static str,
    key: impl Fn(&T) -> K,
) -> Result<(), DecodeError> {
    if list.is_sorted_by(|a, b| key(a) < key(b)) { Ok(()) } else { Err(DecodeError::NotCanonical { field }) }
}

/// A list in ascending order of its keys, once each, whatever order it was given in.
pub(crate) fn ascending<T: Clone, K: Ord>(list: &[T], key: impl Fn(&T) -> K) -> Cow<'_, [T]> {
    if list.is_sorted_by(|a, b| key(a) < key(b)) {
        return Cow::Borrowed(list);
    }
    let mut sorted = list.to_vec();
    sorted.sort_by_key(&key);
    sorted.dedup_by(|a, b| key(a) == key(b));
    Cow::Owned(sorted)
}

/// Writes a list in ascending order of its keys.
pub(crate) fn put_ascending<T: Field + Clone, K: Ord>(list: &[T], out: &mut BytesMut, key: impl Fn(&T) -> K) {
    put_list(&ascending(list, key), out);
}
