package s3

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Bounds of a CORS configuration.
const (
	maxCORSRules = 100
	maxRuleID    = 255
)

// CORS is the rules by which browsers may use a bucket from the pages of other origins.
type CORS struct {
	Rules []CORSRule
}

// CORSRule allows some origins some methods and headers.
type CORSRule struct {
	ID      string   `json:",omitempty"`
	Origins []string // with at most one '*' each
	Methods []string
	Headers []string `json:",omitempty"` // of requests, with at most one '*' each
	Expose  []string `json:",omitempty"` // headers of replies that scripts may read
	MaxAge  *int     `json:",omitempty"` // seconds for which a browser may keep the answer to a preflight
}

var corsMethods = []string{"GET", "PUT", "POST", "DELETE", "HEAD"}

// ParseCORS reads the body of PutBucketCors.
func ParseCORS(body []byte) (*CORS, error) {
	const op = "s3.ParseCORS"
	root, err := parseXML(body, 20000)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "CORSConfiguration" || len(root.children) == 0 {
		return nil, malformedXML(op)
	}
	if len(root.children) > maxCORSRules {
		return nil, NewFault(op, InvalidRequest, "The number of CORS rules should not exceed allowed limit of "+itoa(maxCORSRules)+" rules.")
	}
	c := &CORS{}
	for i := range root.children {
		rule, err := parseCORSRule(&root.children[i])
		if err != nil {
			return nil, err
		}
		c.Rules = append(c.Rules, rule)
	}
	return c, nil
}

func parseCORSRule(n *node) (CORSRule, error) {
	const op = "s3.parseCORSRule"
	var r CORSRule
	if n.name != "CORSRule" {
		return r, malformedXML(op)
	}
	for i := range n.children {
		c := &n.children[i]
		if len(c.children) > 0 || !r.set(c.name, strings.TrimSpace(c.text)) {
			return r, malformedXML(op)
		}
	}
	if len(r.Origins) == 0 || len(r.Methods) == 0 || len(r.ID) > maxRuleID {
		return r, malformedXML(op)
	}
	return r, r.check()
}

// set takes one element of a rule, and reports whether it can stand there.
func (r *CORSRule) set(name, text string) bool {
	switch name {
	case "ID":
		r.ID = text
	case "AllowedOrigin":
		r.Origins = append(r.Origins, text)
	case "AllowedMethod":
		r.Methods = append(r.Methods, text)
	case "AllowedHeader":
		r.Headers = append(r.Headers, text)
	case "ExposeHeader":
		r.Expose = append(r.Expose, text)
	case "MaxAgeSeconds":
		n, err := strconv.ParseInt(text, 10, 32)
		age := int(n)
		r.MaxAge = &age
		return err == nil && n >= 0
	default:
		return false
	}
	return true
}

func (r *CORSRule) check() error {
	const op = "s3.CORSRule.check"
	for _, m := range r.Methods {
		if !slices.Contains(corsMethods, m) {
			return NewFault(op, InvalidRequest, "Found unsupported HTTP method in CORS config. Unsupported method is "+m)
		}
	}
	for _, o := range r.Origins {
		if strings.Count(o, "*") > 1 {
			return NewFault(op, InvalidRequest, `AllowedOrigin "`+o+`" can not have more than one wildcard.`)
		}
	}
	for _, h := range r.Headers {
		if strings.Count(h, "*") > 1 {
			return NewFault(op, InvalidRequest, `AllowedHeader "`+h+`" can not have more than one wildcard.`)
		}
	}
	for _, h := range r.Expose {
		if strings.Contains(h, "*") {
			return NewFault(op, InvalidRequest, `ExposeHeader "`+h+`" contains wildcard. We currently do not support wildcard for ExposeHeader.`)
		}
	}
	return nil
}

// XML returns the reply to GetBucketCors.
func (c *CORS) XML() []byte {
	w := newXML(512)
	w.root("CORSConfiguration")
	for _, r := range c.Rules {
		w.open("CORSRule")
		w.optional("ID", r.ID)
		for _, list := range []struct {
			name   string
			values []string
		}{{"AllowedMethod", r.Methods}, {"AllowedOrigin", r.Origins}, {"AllowedHeader", r.Headers}, {"ExposeHeader", r.Expose}} {
			for _, v := range list.values {
				w.text(list.name, v)
			}
		}
		if r.MaxAge != nil {
			w.number("MaxAgeSeconds", int64(*r.MaxAge))
		}
		w.close("CORSRule")
	}
	w.close("CORSConfiguration")
	return w.bytes()
}

// DecodeCORS reads the stored form of a configuration.
func DecodeCORS(value []byte) (any, error) {
	c := &CORS{}
	return c, json.Unmarshal(value, c)
}

// The headers of CORS.
const (
	headerOrigin         = "Origin"
	headerRequestMethod  = "Access-Control-Request-Method"
	headerRequestHeaders = "Access-Control-Request-Headers"
)

// corsVary are the request headers on which an answer depends.
const corsVary = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"

// Preflight answers OPTIONS. There may be no configuration.
func (c *CORS) Preflight(h Header, onObject bool) ([]Field, error) {
	const op = "s3.CORS.Preflight"
	origin, method := h.Get(headerOrigin), h.Get(headerRequestMethod)
	kind := "BUCKET"
	if onObject {
		kind = "OBJECT"
	}
	switch {
	case origin == "":
		return nil, NewFault(op, BadRequest, "Insufficient information. Origin request header needed.")
	case !slices.Contains(corsMethods, method):
		if method == "" {
			method = "null"
		}
		return nil, NewFault(op, BadRequest, "Invalid Access-Control-Request-Method: "+method)
	case c == nil:
		return nil, NewFault(op, AccessForbidden, "CORSResponse: CORS is not enabled for this bucket.", Field{"Method", method}, Field{"ResourceType", kind})
	}
	for i := range c.Rules {
		if fields := c.Rules[i].allow(origin, method, splitHeaders(h.Get(headerRequestHeaders))); fields != nil {
			return fields, nil
		}
	}
	return nil, NewFault(op, AccessForbidden, "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request method / "+
		"Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
		Field{"Method", method}, Field{"ResourceType", kind})
}

// Simple returns what the reply to a request of a page says, if it may be read there: nothing when no rule allows it.
func (c *CORS) Simple(method string, h Header) []Field {
	origin := h.Get(headerOrigin)
	if m := h.Get(headerRequestMethod); m != "" {
		method = m
	}
	for i := range c.Rules {
		if fields := c.Rules[i].allow(origin, method, nil); fields != nil {
			return fields
		}
	}
	return nil
}

// splitHeaders reads a list of header names, in lower case.
func splitHeaders(s string) []string {
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// allow returns the headers of a reply that this rule allows, or nil.
func (r *CORSRule) allow(origin, method string, headers []string) []Field {
	i := slices.IndexFunc(r.Origins, func(pattern string) bool { return matchStar(pattern, origin) })
	if i < 0 || !slices.Contains(r.Methods, method) {
		return nil
	}
	for _, name := range headers {
		if !slices.ContainsFunc(r.Headers, func(pattern string) bool { return matchStar(strings.ToLower(pattern), name) }) {
			return nil
		}
	}
	any := r.Origins[i] == "*"
	if any {
		origin = "*"
	}
	fields := []Field{{"Access-Control-Allow-Origin", origin}, {"Access-Control-Allow-Methods", strings.Join(r.Methods, ", ")}}
	if len(headers) > 0 {
		fields = append(fields, Field{"Access-Control-Allow-Headers", strings.Join(headers, ", ")})
	}
	if len(r.Expose) > 0 {
		fields = append(fields, Field{"Access-Control-Expose-Headers", strings.Join(r.Expose, ", ")})
	}
	if r.MaxAge != nil {
		fields = append(fields, Field{"Access-Control-Max-Age", itoa(*r.MaxAge)})
	}
	if !any {
		fields = append(fields, Field{"Access-Control-Allow-Credentials", "true"})
	}
	return append(fields, Field{"Vary", corsVary})
}

// matchStar reports whether s is what a pattern with at most one '*' says.
func matchStar(pattern, s string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == s
	}
	return len(s) >= len(before)+len(after) && strings.HasPrefix(s, before) && strings.HasSuffix(s, after)
}
