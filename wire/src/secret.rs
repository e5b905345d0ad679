//! A secret of 32 bytes: overwritten when it is dropped, and shown to nobody.

use core::fmt;
use core::ops::Deref;

use zeroize::{Zeroize as _, ZeroizeOnDrop};

pub use zeroize::Zeroizing;

/// A private key, or what a group shares.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl From<[u8; 32]> for Secret {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Deref for Secret {
    type Target = [u8; 32];
    fn deref(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_gives_its_bytes_to_who_computes_and_not_to_who_prints() {
        let secret = Secret::from([0xAB; 32]);
        assert_eq!(*secret, [0xAB; 32]);
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    /// What wipes itself says so to the compiler: whoever takes that from one of them breaks this.
    #[test]
    fn whatever_holds_a_secret_wipes_itself() {
        const fn wipes<T: ZeroizeOnDrop>() {}
        wipes::<Secret>();
        wipes::<Zeroizing<[u8; 32]>>();
        wipes::<crate::crypt::Cipher>();
        wipes::<ed25519_dalek::SigningKey>();
        wipes::<x25519_dalek::StaticSecret>();
    }
}
