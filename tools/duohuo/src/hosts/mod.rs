//! A whole network on hosts of its own: a network namespace for each process, rooms as bridges, real multicast, and the kernel's
//! own means to cut, lose and narrow. For the tests on the real thing and for measurements.

pub mod cell;
pub mod wires;
pub mod world;
