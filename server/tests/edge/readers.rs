//! A thousand watchers that read nothing while Tasks print a lot: what waits for them is a cursor each.
//!
//! Two principals have half of them each, since nobody may make a thousand calls in a minute.

use bytes::Bytes;
use prost::Message as _;
use serde_json::json;

use backspace_sdk::v1;

use super::{memory::resident_mib, principals};
use crate::event_log::Follower;
use crate::script::{bash, finish, turn, write};
use crate::server::TestServer;
use crate::site::{Site, spec};

const CONNECTIONS_EACH: usize = 4;
const STREAMS: usize = 125;

/// Opens streams of a Task's events of which nothing is read, all at once: the server gives a connection up when one of
/// them has stood still for half a minute. What holds them open is returned.
async fn stalled(server: &TestServer, token: &str, task: &str) -> Vec<h2::RecvStream> {
    let message = v1::WatchTaskRequest {
        name: task.to_owned(),
        ..v1::WatchTaskRequest::default()
    };
    let mut body = vec![0];
    body.extend((message.encoded_len() as u32).to_be_bytes());
    body.extend(message.encode_to_vec());
    let stream = tokio::net::TcpStream::connect(server.authority()).await.unwrap();
    let mut builder = h2::client::Builder::new();
    // Room for the first events only, and nobody makes more.
    builder.initial_window_size(2048);
    let (sender, connection) = builder.handshake::<_, Bytes>(stream).await.unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test has no Jobs")]
    tokio::spawn(connection);
    let mut responses = Vec::new();
    for _ in 0..STREAMS {
        let request = http::Request::post("http://localhost/backspace.v1.AgentService/WatchTask")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let mut sender = sender.clone().ready().await.unwrap();
        let (response, mut send) = sender.send_request(request, false).unwrap();
        send.send_data(Bytes::from(body.clone()), true).unwrap();
        responses.push(response);
    }
    let mut streams = Vec::new();
    for response in responses {
        streams.push(response.await.unwrap().into_body());
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_readers_that_read_nothing_cost_little_and_hold_up_nobody() {
    let site = Site::new();
    let repository = site.red_repository();
    // Commands whose output is far over what an event holds, and much to stream meanwhile.
    let print = "head -c 1000000 /dev/zero | tr '\\0' 'x' | fold -w 100";
    let mut turns = vec![turn(&[write("out.txt", "good\n")])];
    turns.extend((0..10).map(|index| turn(&[bash(&format!("{print}; echo {index}"))])));
    turns.push(turn(&[finish("It is good now.")]));
    site.script("print", json!(turns));
    let tokens = principals::write(&site, &["ada", "bob"], &repository);
    let launch = site.serve().flag("--tokens-file", tokens.to_str().unwrap());
    let server = launch.start().await;
    let before = resident_mib(&server);
    let (mut followers, mut held) = (Vec::new(), Vec::new());
    for token in ["ada", "bob"] {
        let mut follower = Follower::run(&server.client_of(token), spec(&repository, "print"));
        follower.until_state(v1::task::State::Running).await;
        let task = follower.task();
        let connections = (0..CONNECTIONS_EACH).map(|_| stalled(&server, token, &task));
        held.extend(futures_util::future::join_all(connections).await);
        followers.push(follower);
    }
    assert_eq!(held.iter().map(Vec::len).sum::<usize>(), 1000);
    for mut follower in followers {
        follower.success().await;
    }
    let after = resident_mib(&server);
    assert!(after < before + 128, "{after} MiB after {before}");
    drop(held);
}
