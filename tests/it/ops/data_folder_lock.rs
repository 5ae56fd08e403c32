//! A data folder serves one server at a time, and commands of operators next to it.

use qv_tests::command_line::{run, said};
use qv_tests::node_process::NodeProcess;
use qv_tests::world::World;

#[tokio::test]
async fn a_second_server_on_a_data_folder_is_refused_and_commands_are_not() {
    let world = World::new().await;
    let mut node = NodeProcess::start(&world, "one", &[]).await;
    node.client().register("alice").await;

    let mut second = NodeProcess::begin(&world, "one", &[]);
    assert_eq!(second.ended().await.code(), Some(1));
    let words = run(&world.environment("one"), &["serve"]).stderr;
    let words = String::from_utf8(words).expect("text");
    assert!(words.contains("DATA_DIR") && words.contains("which another server uses: stop that server"), "{words}");

    said(&world, &["user", "promote", "alice"]);
    said(&world, &["purge"]);
    // A killed server holds no lock.
    node.kill();
    node.restart().await;
}
