//! A question over a socket.

use core::time::Duration;
use std::path::Path;

use he_core::params::Params;
use host_runner::client::{Client, Decrypted};
use host_runner::connection::Connection;
use host_runner::engine::Engine;
use host_runner::import::ModelFolder;
use host_runner::server::{Limits, Server, User};
use host_runner::store::{self, DEVICE, SERVER, device};

/// Asks `engine` with the secrets of a folder of keys.
pub(crate) fn ask(
    engine: &Engine,
    keys: &Path,
    (params, folder): (&Params, &ModelFolder),
    sentence: &str,
) -> Decrypted {
    let secrets = device::read(&keys.join(DEVICE), params).unwrap();
    let client = Client::new(secrets, params, folder).unwrap();
    let answerer = |upload, notify: &mut dyn FnMut(_)| engine.answer(upload, notify);
    let about = (engine.upload_shape().unwrap(), params.digest());
    let transport = store::read_transport(&keys.join(SERVER)).unwrap();
    let users = vec![User::new(about, &transport, &answerer)];
    let server = Server::bind("127.0.0.1:0", Limits::default(), users).unwrap();
    let ask = |address: &str| {
        let mut connection = Connection::connect(address, Duration::from_secs(60)).unwrap();
        client.ask(&mut connection, sentence, &mut |_| {}).unwrap()
    };
    server.while_asked(ask).unwrap()
}
