//! The half-bootstrap at full size keeps its bits, under both presets. One test: each needs some
//! gigabytes.

use he_core::params::Params;
use host_runner::{noise, random};

#[test]
fn values_of_the_full_range_keep_their_bits_in_every_slot() {
    let measure = |params| noise::refresh::measure(&params, random::generator().unwrap()).unwrap();
    let [once, twice] = measure(Params::edge_128().unwrap());
    assert!(once.worst >= 15.0 && once.mean >= 18.0, "{once:.2?}");
    assert!(twice.worst >= 14.0, "{twice:.2?}");

    let [once, twice] = measure(Params::precise_128().unwrap());
    assert!(once.worst >= 19.5 && once.mean >= 22.0, "{once:.2?}");
    assert!(twice.worst >= 18.0, "{twice:.2?}");
}
