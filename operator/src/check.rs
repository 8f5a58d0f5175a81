//! `--check`: whether this install works, seen with the operator's own rights: PoolerClusters can be
//! listed, and somebody leads. It writes nothing and serves nobody.

use anyhow::Context as _;
use kube::{Api, Client, Config, api::ListParams};
use poolwright_crds::PoolerCluster;

use crate::{controller::Scope, election, home::Home};

/// A line for those who expected more.
const NO_QUERY: &str = "No query was sent: `helm test` sends one where the chart's values name a \
                        PoolerCluster (test.poolerCluster, namespace, database, user, secret)";

/// What was found, a line for each thing.
///
/// # Errors
/// The API server, the definition, a right or a leader is missing: which one, and where to look.
pub async fn check(scope: &Scope, home: &Home, config: Config) -> anyhow::Result<String> {
    let client = Client::try_from(config).context("reach the cluster")?;
    let clusters: Api<PoolerCluster> = scope.api(&client);
    let clusters = clusters.list(&ListParams::default()).await.context(
        "list PoolerClusters: is their CustomResourceDefinition installed, and may this account?",
    )?;
    let leader = election::leader(client, home).await.with_context(|| {
        let namespace = &home.namespace;
        format!("ask who leads; see kubectl -n {namespace} get pods, and their logs")
    })?;
    let found = clusters.items.len();
    Ok(format!("PoolerClusters can be listed: {found} found\n{leader} leads\n{NO_QUERY}\n"))
}
