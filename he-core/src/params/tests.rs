use super::*;
use crate::primes::LOG_STEP;

fn edge() -> Params {
    Params::edge_128().unwrap()
}
