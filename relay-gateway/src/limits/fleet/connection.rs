//! A connection to one server, to the master that Sentinels name, or to a cluster.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo as _, RedisResult,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};

use super::address::RedisAddress;

/// How long one server may take to be connected to.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// Calls that may wait to be written.
const MOST_WAITING: usize = 4096;

/// A connection. Clones share it: what they ask is pipelined.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub(super) async fn open(address: &RedisAddress) -> RedisResult<Self> {
        // Callers have deadlines of their own. Without TCP_NODELAY a call would wait until the one before it is acknowledged.
        let tcp = TcpSettings::default().set_nodelay(true);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WITHIN))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(MOST_WAITING);
        match address {
            RedisAddress::One(server) => {
                let client = Client::open(server.clone().into_connection_info()?.set_tcp_settings(tcp))?;
                client.get_multiplexed_async_connection_with_config(&config).await.map(Self::One)
            }
            RedisAddress::Sentinel { sentinels, master, login } => {
                let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
                let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                    .set_client_to_redis_db(login.db)
                    .set_client_to_redis_tcp_settings(tcp.clone())
                    .set_client_to_sentinel_tcp_settings(tcp);
                if let Some(mode) = login.tls {
                    builder = builder.set_client_to_redis_tls_mode(mode).set_client_to_sentinel_tls_mode(mode);
                }
                if let Some(user) = &login.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &login.password {
                    builder = builder.set_client_to_redis_password(password);
                }
                builder.build()?.get_async_connection_with_config(&config).await.map(Self::One)
            }
            RedisAddress::Cluster(servers) => {
                let client = ClusterClient::builder(servers.clone())
                    .connection_timeout(CONNECT_WITHIN)
                    .response_timeout(CONNECT_WITHIN)
                    .overall_response_timeout(Some(CONNECT_WITHIN))
                    .tcp_settings(tcp)
                    .build()?;
                client.get_async_connection().await.map(Self::Cluster)
            }
        }
    }

    pub(super) async fn query<T: FromRedisValue>(&mut self, asked: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => asked.query_async(connection).await,
            Self::Cluster(connection) => asked.query_async(connection).await,
        }
    }

    pub(super) async fn ping(&mut self) -> RedisResult<()> {
        self.query(&redis::cmd("PING")).await
    }
}
