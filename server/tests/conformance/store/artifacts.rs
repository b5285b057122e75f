//! Artifacts: bytes in, the same bytes out.

use backspace_server::store::{Append, ArtifactChunk, ArtifactPiece, StoreError};
use backspace_server::task::id::{ArtifactId, TaskId};
use bytes::Bytes;

use super::{Store, claim, claimed, submit};

async fn read_all(store: &Store, task: TaskId, artifact: &ArtifactId, limit: u32) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let chunk = store
            .read_artifact(task, artifact, whole.len() as u64, limit)
            .await
            .unwrap()?;
        assert!(chunk.data.len() <= limit as usize);
        if chunk.data.is_empty() {
            assert_eq!(chunk.size, whole.len() as u64);
            return Some(whole);
        }
        whole.extend_from_slice(&chunk.data);
    }
}

pub async fn bytes_come_back_in_pieces_of_any_size(store: Store) {
    let task = submit(&store, "a", 1).await;
    let log = ArtifactId::new("log");
    let mut expected = Vec::new();
    for size in [1, 0, 70_000, 262_144, 600_001, 3] {
        let piece: Vec<u8> = (0..size).map(|index| ((index + size) % 251) as u8).collect();
        expected.extend_from_slice(&piece);
        store.append_artifact(task, &log, piece.into()).await.unwrap();
    }
    for limit in [u32::MAX, 1_000_000, 65_537] {
        assert_eq!(
            read_all(&store, task, &log, limit).await.as_ref(),
            Some(&expected),
            "{limit}"
        );
    }
    let middle = store.read_artifact(task, &log, 332_140, 10).await.unwrap().unwrap();
    assert_eq!(
        (middle.data.as_ref(), middle.size),
        (&expected[332_140..332_150], expected.len() as u64)
    );
    let past = store.read_artifact(task, &log, u64::MAX, 10).await.unwrap().unwrap();
    assert_eq!((past.data.len(), past.size), (0, expected.len() as u64));
}

pub async fn a_run_writes_pieces_with_its_append(store: Store) {
    let lease = claimed(&store).await;
    let exchanges = ArtifactId::new("exchanges");
    let write = |lease, data: &'static str| {
        let append = Append {
            artifacts: vec![ArtifactPiece {
                artifact: exchanges.clone(),
                data: data.into(),
            }],
            ..Append::default()
        };
        store.append(lease, append)
    };
    write(lease, "one\n").await.unwrap();
    write(lease, "two\n").await.unwrap();
    store.release(lease).await.unwrap();
    let next = claim(&store).await.unwrap().lease;
    // A run that was overtaken adds nothing.
    assert!(matches!(write(lease, "lost\n").await, Err(StoreError::LeaseLost)));
    write(next, "three\n").await.unwrap();
    let whole = read_all(&store, next.task, &exchanges, 100).await;
    assert_eq!(whole.as_deref(), Some(&b"one\ntwo\nthree\n"[..]));
}

pub async fn an_empty_artifact_exists_and_a_put_replaces(store: Store) {
    let task = submit(&store, "a", 1).await;
    let patch = ArtifactId::new("patch");
    assert_eq!(store.read_artifact(task, &patch, 0, 10).await.unwrap(), None);
    let empty = ArtifactChunk {
        data: Bytes::new(),
        size: 0,
    };
    store.append_artifact(task, &patch, Bytes::new()).await.unwrap();
    assert_eq!(
        store.read_artifact(task, &patch, 0, 10).await.unwrap(),
        Some(empty.clone())
    );
    store.append_artifact(task, &patch, "abc".into()).await.unwrap();
    assert_eq!(read_all(&store, task, &patch, 2).await.unwrap(), b"abc");
    store.put_artifact(task, &patch, vec![1; 300_000].into()).await.unwrap();
    store.put_artifact(task, &patch, "de".into()).await.unwrap();
    assert_eq!(read_all(&store, task, &patch, 9).await.unwrap(), b"de");
    store.append_artifact(task, &patch, "f".into()).await.unwrap();
    assert_eq!(read_all(&store, task, &patch, 9).await.unwrap(), b"def");
    store.put_artifact(task, &patch, Bytes::new()).await.unwrap();
    assert_eq!(store.read_artifact(task, &patch, 0, 10).await.unwrap(), Some(empty));
}

pub async fn artifacts_of_tasks_and_names_do_not_mix(store: Store) {
    let tasks = [submit(&store, "a", 1).await, submit(&store, "a", 2).await];
    let names = [ArtifactId::new("log"), ArtifactId::new("log2")];
    for (task, label) in tasks.iter().zip(["x", "y"]) {
        for name in &names {
            store
                .append_artifact(*task, name, format!("{label} {name}").into())
                .await
                .unwrap();
        }
    }
    store.put_artifact(tasks[0], &names[0], "new".into()).await.unwrap();
    let read = |task, name| {
        let store = store.clone();
        async move { String::from_utf8(read_all(&store, task, name, 100).await.unwrap()).unwrap() }
    };
    assert_eq!(read(tasks[0], &names[0]).await, "new");
    assert_eq!(read(tasks[0], &names[1]).await, "x log2");
    assert_eq!(read(tasks[1], &names[0]).await, "y log");
    assert_eq!(read(tasks[1], &names[1]).await, "y log2");
}
