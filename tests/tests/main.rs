//! All tests over whole networks and single machines, as one program: what they share is compiled once, and the long ones run side by side.

mod bad_input;
mod broken_rules;
mod catch_up;
mod chaos;
mod check_order;
mod lease;
mod orders;
mod partitions;
mod placements;
mod reception_order;
mod recovery;
mod rehearsals;
mod rules;
mod simulator;
mod specification;
mod two_copies;
