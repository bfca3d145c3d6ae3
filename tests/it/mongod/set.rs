//! A replica set of such servers.

use std::time::{Duration, Instant};

use mongodb::bson::doc;
use tempfile::TempDir;

use super::Node;

/// How long a set may take to have a primary.
const PATIENCE: Duration = Duration::from_secs(60);

/// Some nodes, and a folder that goes with them.
pub(crate) struct ReplicaSet {
    pub(crate) nodes: Vec<Node>,
    _folder: TempDir,
}

impl ReplicaSet {
    /// Starts it and waits for its primary. Elections are quick, so that a test need not wait long:
    /// 1 s without a heartbeat, of which there are five a second.
    pub(crate) async fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = |n: usize| Node::start(folder.path().join(format!("node-{n}")));
        let set = ReplicaSet {
            nodes: (0..count).map(node).collect(),
            _folder: folder,
        };
        let members = (0..).zip(&set.nodes).map(|(id, node): (i32, &Node)| {
            doc! { "_id": id, "host": format!("127.0.0.1:{}", node.port) }
        });
        let members: Vec<_> = members.collect();
        let config = doc! {
            "_id": "rs0",
            "members": members,
            "settings": { "electionTimeoutMillis": 1000, "heartbeatIntervalMillis": 200 },
        };
        let deadline = Instant::now() + PATIENCE;
        while set.nodes[0]
            .admin(doc! { "replSetInitiate": config.clone() })
            .await
            .is_none()
        {
            assert!(Instant::now() < deadline, "the set cannot be initiated");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        set.primary().await;
        set
    }

    /// Where clients find it, with a database of this name.
    pub(crate) fn uri(&self, database: &str) -> String {
        let hosts = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("mongodb://{hosts}/{database}?replicaSet=rs0&appName=meltd-test")
    }

    /// Which node takes writes; waits until one does.
    pub(crate) async fn primary(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (at, node) in self.nodes.iter().enumerate() {
                if !node.is_dead() && node.is_primary().await {
                    return at;
                }
            }
            assert!(Instant::now() < deadline, "there is no primary");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until every node is a primary or a secondary, and has what the others have.
    pub(crate) async fn whole(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let primary = &self.nodes[self.primary().await];
            let status = primary.admin(doc! { "replSetGetStatus": 1 }).await;
            let states: Vec<i32> = status
                .iter()
                .flat_map(|s| s.get_array("members").unwrap())
                .filter_map(|m| m.as_document()?.get_i32("state").ok())
                .collect();
            if states.len() == self.nodes.len() && states.iter().all(|s| matches!(s, 1 | 2)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the set is not whole: {states:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
