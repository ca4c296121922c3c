//! Private fine-tuning: a personal adapter trained on encrypted examples.
//!
//! The owner declares a run ([`settings`]) and rehearses it in the clear ([`rehearsal`]). With the owner's secrets
//! ([`owner`]) examples, labels and a first state are encrypted and sent ([`follow`], [`remote`]) over the connection
//! that questions take ([`exchange`]). The server keeps each job in a folder ([`job`]), which holds no secret, and
//! trains between questions ([`jobs`], [`worker`]); it leaves a state after every iteration, from which it goes on
//! after a stop of any kind. The owner looks at every state, hears the loss, and may be away meanwhile.

pub mod settings;
pub mod numbers;

pub mod exchange;
pub mod follow;
pub mod job;
pub mod jobs;
pub mod owner;
pub mod record;
pub mod rehearsal;
pub mod remote;
pub mod state;
pub mod worker;
