//! From a captured frame to the UDP datagram in it.
