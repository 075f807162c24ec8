//! What of a configuration applies when it is read again while the relay runs, and what waits for a restart.

use super::{AuthConfig, Config};

impl Config {
    /// This configuration with what `read` says of all that may change while a relay runs: secrets and public keys, agents, tools, providers,
    /// limits, plans, prices, origins, the webhooks, when alerts are sent, whether pages are told of listening, and how often the HTTP API may be asked. Beside it the sections and
    /// keys that `read` has otherwise and that wait for a restart, since something is made of them once: sockets, files, the database, the
    /// issuer's keys.
    #[must_use]
    pub fn renewed(&self, read: Config) -> (Config, Vec<&'static str>) {
        // All by name, so that a new key has to be put on one of the two sides.
        let Config {
            given,
            listen,
            data_dir,
            database_url,
            dev: _,
            // Only a command of its own reads it.
            reconcile: _,
            auth,
            origins,
            limits,
            plans,
            network,
            heartbeat,
            resume_window,
            drain,
            shutdown_grace,
            store_grace,
            retention,
            webhook,
            webhooks,
            alerts,
            recording,
            // It is looked at when the configuration is read, and nothing is made of it.
            recording_is_shared: _,
            recording_min_free,
            tells_of_listening,
            metrics_listen,
            traces,
            sentry,
            prices_file,
            api_requests_per_minute,
            preflights_per_minute,
            agents,
            tools,
            default_agent,
            providers,
            echo,
            log,
        } = read;
        let (auth, is_same_auth) = self.auth.renewed(auth);
        let are_same = [
            ("listen", listen == self.listen),
            ("data_dir", data_dir == self.data_dir),
            ("database_url", database_url == self.database_url),
            ("auth, with its secrets and public keys,", is_same_auth),
            ("network", network == self.network),
            ("heartbeat_seconds", heartbeat == self.heartbeat),
            ("resume_window_seconds", resume_window == self.resume_window),
            ("drain", drain == self.drain),
            ("shutdown_grace_seconds", shutdown_grace == self.shutdown_grace),
            ("store.grace_seconds", store_grace == self.store_grace),
            ("retention", retention == self.retention),
            ("recording", recording == self.recording && recording_min_free == self.recording_min_free),
            ("metrics.listen", metrics_listen == self.metrics_listen),
            ("traces", traces == self.traces),
            ("sentry", sentry == self.sentry),
            ("echo.rate", echo.codec == self.echo.codec),
            ("log", log.format == self.log.format && log.level == self.log.level),
        ];
        let waiting = are_same.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect();
        let renewed = Config {
            given,
            auth,
            origins,
            limits,
            plans,
            webhook,
            webhooks,
            alerts,
            tells_of_listening,
            prices_file,
            api_requests_per_minute,
            preflights_per_minute,
            agents,
            tools,
            default_agent,
            providers,
            ..self.clone()
        };
        (renewed, waiting)
    }
}

impl AuthConfig {
    /// This one with the secrets and public keys of `read`, and whether all else is the same. If it is not, the keys wait as well: they were looked
    /// at together with what they are for, and might be none without it.
    fn renewed(&self, read: AuthConfig) -> (AuthConfig, bool) {
        let AuthConfig {
            hs256_secret,
            hs256_others,
            public_keys,
            jwks_url,
            oidc_issuer,
            issuers,
            audiences,
            claims,
            admin_role,
            reader_role,
            leeway,
            token_grace,
        } = read;
        let is_same = jwks_url == self.jwks_url
            && oidc_issuer == self.oidc_issuer
            && issuers == self.issuers
            && audiences == self.audiences
            && claims == self.claims
            && admin_role == self.admin_role
            && reader_role == self.reader_role
            && leeway == self.leeway
            && token_grace == self.token_grace;
        if !is_same {
            return (self.clone(), false);
        }
        (AuthConfig { hs256_secret, hs256_others, public_keys, ..self.clone() }, true)
    }
}
