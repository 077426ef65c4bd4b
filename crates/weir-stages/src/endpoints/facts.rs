//! What an agent tells about its device (contract schema `DeviceFacts`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weir_core::Map;

/// Family of an operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    Linux,
    Unix,
    Bsd,
    Windows,
    MacOs,
    Android,
    IOs,
    Other,
}

/// Defines a part of the facts: what is left out stays out.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty),* ; $($optional:ident: $inner:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        pub struct $name {
            $(pub $field: $kind,)*
            $(#[serde(default, skip_serializing_if = "Option::is_none")] pub $optional: Option<$inner>,)*
        }
    };
}

part!(/// The operating system.
    System { family: Family; name: String, version: String, arch: String });
part!(/// A disk.
    Disk { name: String, mountpoint: String;
        label: String, capacity_total_bytes: i64, capacity_used_bytes: i64, encryption_enabled: bool });
part!(/// A network interface.
    Interface { name: String, hardware_address: String; ip_addresses: Vec<String>, dns_servers: Vec<String> });
part!(/// The network.
    Network { hostname: String, interfaces: Vec<Interface>; firewall_enabled: bool, gateway: String });
part!(/// The hardware.
    Hardware { serial: String;
        model: String, manufacturer: String, cpu_name: String, cpu_count: i64, memory_bytes: i64 });
part!(/// An installed program.
    Software { name: String, source: String; version: String, path: String });
part!(/// A running program.
    Process { id: i64, name: String; user: String });
part!(/// A user of the device.
    LocalUser { id: String; username: String, name: String, home: String });
part!(/// A group of the device.
    LocalGroup { id: String; name: String });
part!(/// Everything.
    Facts { ;
        os: System, disks: Vec<Disk>, network: Network, hardware: Hardware, software: Vec<Software>,
        processes: Vec<Process>, users: Vec<LocalUser>, groups: Vec<LocalGroup>, vendor: Map });
