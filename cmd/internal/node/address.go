package node

import (
	"net"
	"strconv"
)

// advertised returns the address that other nodes are told for a listener: what the user says, or the listener's own with
// a host that can be dialled.
func advertised(given string, listener net.Addr) string {
	if given != "" {
		return given
	}
	text, err := advertisedText(listener.String())
	if err != nil {
		return listener.String()
	}
	return text
}

// advertisedText replaces a host that stands for all addresses by the machine's first one.
func advertisedText(listen string) (string, error) {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return "", err
	}
	if a.IP == nil || a.IP.IsUnspecified() {
		a.IP = firstAddress()
	}
	return net.JoinHostPort(a.IP.String(), strconv.Itoa(a.Port)), nil
}

// firstAddress returns the first address of the machine that other machines may know, or the loopback one.
func firstAddress() net.IP {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return net.IPv4(127, 0, 0, 1)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return net.IPv4(127, 0, 0, 1)
}
