package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Destination is a place outside of the cluster to which events of buckets are sent.
type Destination struct {
	Name string // in the ARN that buckets name it by
	Type string // "webhook", "nats" or "kafka"
	URL  string // as it was set
}

// ARN is how buckets name the destination.
func (d *Destination) ARN() string { return "arn:aisle:sqs::" + d.Name + ":" + d.Type }

// destinationTypes are the types of destinations by the scheme of their URL.
var destinationTypes = map[string]string{
	"http": "webhook", "https": "webhook", "nats": "nats", "tls": "nats", "kafka": "kafka", "kafkas": "kafka",
}

const maxDestinations = 64

// parseDestinations reads NAME=URL, separated by blanks.
func parseDestinations(v string) ([]Destination, error) {
	var all []Destination
	names := make(map[string]bool)
	for item := range strings.FieldsSeq(v) {
		name, text, ok := strings.Cut(item, "=")
		if !ok || !isDestinationName(name) {
			return nil, errors.New("a destination is not NAME=URL with a name of letters, digits, - and _")
		}
		d, err := parseDestination(text)
		if err != nil {
			return nil, fmt.Errorf("destination %s: %w", name, err)
		}
		if names[name] {
			return nil, fmt.Errorf("destination %s is there twice", name)
		}
		names[name] = true
		d.Name = name
		all = append(all, d)
	}
	if len(all) > maxDestinations {
		return nil, fmt.Errorf("%d destinations, more than %d", len(all), maxDestinations)
	}
	return all, nil
}

// parseDestination reads a URL. What is wrong with it is said without its secrets.
func parseDestination(text string) (Destination, error) {
	scheme, rest, _ := strings.Cut(text, "://")
	d := Destination{Type: destinationTypes[scheme], URL: text}
	if d.Type == "" {
		return d, fmt.Errorf("%q is none of http, https, nats, tls, kafka, kafkas", scheme)
	}
	// Kafka may have several brokers, which no URL can have: the first stands for them.
	authority, path, _ := strings.Cut(rest, "/")
	first, _, _ := strings.Cut(authority, ",")
	u, err := url.Parse("x://" + first + "/" + path)
	if err != nil || u.Hostname() == "" {
		return d, errors.New("it is not a URL with a host")
	}
	if d.Type != "webhook" && (u.Path == "/" || strings.Contains(u.Path[1:], "/")) {
		return d, errors.New("its path is not the one name of a subject or topic")
	}
	return d, nil
}

// showDestinations leaves out what may be secret: all but names, schemes and hosts.
func showDestinations(v string) string {
	all, _ := parseDestinations(v)
	items := make([]string, len(all))
	for i, d := range all {
		scheme, rest, _ := strings.Cut(d.URL, "://")
		authority, _, _ := strings.Cut(rest, "/")
		authority, _, _ = strings.Cut(authority, "?")
		items[i] = d.Name + "=" + scheme + "://" + authority[strings.LastIndexByte(authority, '@')+1:] + "/..."
	}
	return strings.Join(items, " ")
}

func isDestinationName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	return s != "" && len(s) <= 64 && strings.Trim(s, letters) == ""
}
