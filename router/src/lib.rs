//! The service: agents report to it, proxies ask it.
