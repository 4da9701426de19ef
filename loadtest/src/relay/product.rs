//! The configuration of products that are not ours, as an operator would write it for streams.

use std::path::Path;

/// What a configuration must know.
pub(super) struct Product<'a> {
    /// Where callers are taken.
    pub(super) address: &'a str,
    /// Where they are sent.
    pub(super) engine: &'a str,
    /// A folder for its own files.
    pub(super) folder: &'a Path,
}

impl Product<'_> {
    /// One worker per processor, uploads buffered before they are passed on, which is its default and what our proxy does.
    pub(super) fn nginx(&self) -> String {
        let Self { address, engine, folder } = self;
        let folder = folder.display();
        format!(
            "daemon off;\nworker_processes auto;\nworker_rlimit_nofile 20000;\npid {folder}/nginx.pid;\n\
             error_log {folder}/nginx.log error;\n\
             events {{ worker_connections 10000; }}\n\
             http {{\n\
             access_log off;\n\
             client_body_temp_path {folder}/nginx-body;\nproxy_temp_path {folder}/nginx-proxy;\n\
             fastcgi_temp_path {folder}/nginx-fastcgi;\nuwsgi_temp_path {folder}/nginx-uwsgi;\n\
             scgi_temp_path {folder}/nginx-scgi;\n\
             client_max_body_size 2g;\n\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
             upstream engine {{ server {engine}; keepalive 64; }}\n\
             server {{\n\
             listen {address} backlog=4096;\n\
             location / {{\n\
             proxy_pass http://engine;\nproxy_http_version 1.1;\nproxy_read_timeout 1h;\nproxy_send_timeout 1h;\n\
             proxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection $connection_upgrade;\n\
             }}\n}}\n}}\n"
        )
    }

    /// One thread per processor, which is its default.
    pub(super) fn haproxy(&self) -> String {
        let Self { address, engine, .. } = self;
        format!(
            "global\n  maxconn 9000\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n  timeout tunnel 1h\n\
             frontend callers\n  bind {address} backlog 4096\n  default_backend engine\n\
             backend engine\n  server engine {engine}\n"
        )
    }
}
