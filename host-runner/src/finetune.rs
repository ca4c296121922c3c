//! Private fine-tuning: a personal adapter trained on encrypted examples.
//!
//! The owner declares a run ([`settings`]) and rehearses it in the clear ([`rehearsal`]). Then the owner's side
//! ([`owner`]) encrypts the examples, their labels and a first state into a job's folder ([`job`]), which
//! holds no secret; the server's side ([`worker`]) trains there and leaves a state after every iteration,
//! from which it goes on after a stop of any kind. The owner decrypts the last state.

pub mod job;
pub mod owner;
pub mod rehearsal;
pub mod settings;
pub mod worker;
