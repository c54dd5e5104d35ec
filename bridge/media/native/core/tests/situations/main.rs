//! Situations of the relay, end to end and on virtual time: publishers and subscribers with real SRTP on a seeded
//! network that loses, delays and reorders.

mod bandwidth;
mod forwarding;
mod hostile;
mod joining;
mod layers;
mod loss;
mod net;
mod paths;
mod pressure;
mod publisher;
mod subscriber;
mod taps;
