//! Frame walk shared by the XDP program and the host: Ethernet, VLAN, IP, UDP port.
