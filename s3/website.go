package s3

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// maxRoutingRules bounds the routing rules of a website.
const maxRoutingRules = 50

// Website is how a bucket is served to browsers.
type Website struct {
	Index       string        `json:",omitempty"` // name of the object that is shown for a path that ends with a slash
	Error       string        `json:",omitempty"` // key of the object that is shown in place of an error
	RedirectAll *RedirectHost `json:",omitempty"` // where every request is sent; then there is nothing else
	Rules       []RoutingRule `json:",omitempty"`
}

// RedirectHost is another host.
type RedirectHost struct {
	Host     string
	Protocol string `json:",omitempty"` // that of the request when empty
}

// RoutingRule sends some requests elsewhere.
type RoutingRule struct {
	If       *RoutingCondition `json:",omitempty"` // nil: every request
	Redirect RoutingRedirect
}

// RoutingCondition says which requests a rule is about. What is empty does not matter; both must hold.
type RoutingCondition struct {
	Prefix string `json:",omitempty"` // of the key
	Status int    `json:",omitempty"` // of the error that the request would be answered with
}

// RoutingRedirect says what a rule replaces in the URL of a request.
type RoutingRedirect struct {
	RedirectHost
	Status int     `json:",omitempty"` // of the reply; 301 when 0
	Prefix *string `json:",omitempty"` // in place of the condition's prefix
	Key    *string `json:",omitempty"` // in place of the key
}

// ParseWebsite reads the body of PutBucketWebsite.
func ParseWebsite(body []byte) (*Website, error) {
	const op = "s3.ParseWebsite"
	root, err := parseXML(body, 1000)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	if root.name != "WebsiteConfiguration" {
		return nil, malformedXML(op)
	}
	w := &Website{}
	seen := make(map[string]bool)
	for i := range root.children {
		c := &root.children[i]
		if seen[c.name] {
			return nil, malformedXML(op)
		}
		seen[c.name] = true
		if err := w.set(c); err != nil {
			return nil, err
		}
	}
	switch {
	case w.RedirectAll != nil && len(seen) > 1:
		return nil, invalidArgument(op, "RedirectAllRequestsTo", "not null", "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.")
	case w.RedirectAll == nil && !seen["IndexDocument"]:
		return nil, invalidArgument(op, "IndexDocument", "null", "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty")
	}
	return w, nil
}

// set takes one element of the configuration.
func (w *Website) set(n *node) (err error) {
	const op = "s3.Website.set"
	switch n.name {
	case "IndexDocument":
		suffix := n.only("Suffix")
		if suffix == nil || len(n.children) != 1 {
			return malformedXML(op)
		}
		if w.Index = suffix.text; w.Index == "" || strings.Contains(w.Index, "/") {
			return invalidArgument(op, "IndexDocument", w.Index, "The IndexDocument Suffix is not well formed")
		}
	case "ErrorDocument":
		key := n.only("Key")
		if key == nil || key.text == "" || len(n.children) != 1 {
			return malformedXML(op)
		}
		if w.Error = key.text; len(w.Error) > cluster.MaxKeyLength {
			return NewFault(op, KeyTooLong, "")
		}
	case "RedirectAllRequestsTo":
		w.RedirectAll = &RedirectHost{}
		for i := range n.children {
			if ok, err := w.RedirectAll.set(&n.children[i]); err != nil || !ok {
				return orMalformed(op, err)
			}
		}
		if w.RedirectAll.Host == "" {
			return malformedXML(op)
		}
	case "RoutingRules":
		if len(n.children) == 0 {
			return malformedXML(op)
		}
		if len(n.children) > maxRoutingRules {
			return NewFault(op, InvalidRequest, itoa(len(n.children))+" routing rules provided, the number of routing rules in a website configuration is limited to "+
				itoa(maxRoutingRules)+".")
		}
		w.Rules = make([]RoutingRule, len(n.children))
		for i := range n.children {
			if err := w.Rules[i].parse(&n.children[i]); err != nil {
				return err
			}
		}
	default:
		return malformedXML(op)
	}
	return nil
}

// orMalformed returns err, or that the document is malformed.
func orMalformed(op string, err error) error {
	if err != nil {
		return err
	}
	return malformedXML(op)
}

// set takes an element that names a host or protocol, and reports whether it is one.
func (h *RedirectHost) set(n *node) (bool, error) {
	const op = "s3.RedirectHost.set"
	if len(n.children) > 0 {
		return false, nil
	}
	switch n.name {
	case "HostName":
		if h.Host = n.text; strings.ContainsFunc(h.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' || r == '\\' }) {
			return true, NewFault(op, InvalidRequest, "The provided host name is not valid.")
		}
	case "Protocol":
		if h.Protocol = n.text; h.Protocol != "http" && h.Protocol != "https" {
			return true, NewFault(op, InvalidRequest, "Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.")
		}
	default:
		return false, nil
	}
	return true, nil
}

func (r *RoutingRule) parse(n *node) error {
	const op = "s3.RoutingRule.parse"
	redirect := n.only("Redirect")
	if n.name != "RoutingRule" || redirect == nil {
		return malformedXML(op)
	}
	if condition := n.only("Condition"); condition != nil {
		r.If = &RoutingCondition{}
		if err := r.If.parse(condition); err != nil {
			return err
		}
	} else if len(n.children) != 1 {
		return malformedXML(op)
	}
	if len(n.children) > 2 {
		return malformedXML(op)
	}
	return r.Redirect.parse(redirect)
}

func (c *RoutingCondition) parse(n *node) error {
	const op = "s3.RoutingCondition.parse"
	if len(n.children) == 0 {
		return NewFault(op, InvalidRequest, "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.")
	}
	for i := range n.children {
		switch text := n.children[i].text; n.children[i].name {
		case "KeyPrefixEquals":
			c.Prefix = text
		case "HttpErrorCodeReturnedEquals":
			status, err := strconv.Atoi(text)
			if err != nil || status < 400 || status > 599 {
				return NewFault(op, InvalidRequest, "The provided HTTP error code ("+text+") is not valid. Valid codes are 4XX or 5XX.")
			}
			c.Status = status
		default:
			return malformedXML(op)
		}
	}
	return nil
}

func (r *RoutingRedirect) parse(n *node) error {
	const op = "s3.RoutingRedirect.parse"
	for i := range n.children {
		c := &n.children[i]
		if ok, err := r.set(c); err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		switch text := c.text; c.name {
		case "HttpRedirectCode":
			status, err := strconv.Atoi(text)
			if err != nil || status <= 300 || status > 399 {
				return NewFault(op, InvalidRequest, "The provided HTTP redirect code ("+text+") is not valid. Valid codes are 3XX except 300.")
			}
			r.Status = status
		case "ReplaceKeyPrefixWith":
			r.Prefix = &text
		case "ReplaceKeyWith":
			r.Key = &text
		default:
			return malformedXML(op)
		}
	}
	switch {
	case len(n.children) == 0:
		return malformedXML(op)
	case r.Prefix != nil && r.Key != nil:
		return NewFault(op, InvalidRequest, "You can only define ReplaceKeyPrefix or ReplaceKey but not both.")
	}
	return nil
}

// XML returns the reply to GetBucketWebsite.
func (w *Website) XML() []byte {
	x := newXML(512)
	x.root("WebsiteConfiguration")
	if w.RedirectAll != nil {
		x.open("RedirectAllRequestsTo")
		w.RedirectAll.write(x)
		x.close("RedirectAllRequestsTo")
	}
	if w.Index != "" {
		x.open("IndexDocument")
		x.text("Suffix", w.Index)
		x.close("IndexDocument")
	}
	if w.Error != "" {
		x.open("ErrorDocument")
		x.text("Key", w.Error)
		x.close("ErrorDocument")
	}
	if len(w.Rules) > 0 {
		x.open("RoutingRules")
		for i := range w.Rules {
			w.Rules[i].write(x)
		}
		x.close("RoutingRules")
	}
	x.close("WebsiteConfiguration")
	return x.bytes()
}

func (h *RedirectHost) write(x *xmlWriter) {
	x.optional("HostName", h.Host)
	x.optional("Protocol", h.Protocol)
}

func (r *RoutingRule) write(x *xmlWriter) {
	x.open("RoutingRule")
	if r.If != nil {
		x.open("Condition")
		if r.If.Status != 0 {
			x.number("HttpErrorCodeReturnedEquals", int64(r.If.Status))
		}
		x.optional("KeyPrefixEquals", r.If.Prefix)
		x.close("Condition")
	}
	x.open("Redirect")
	r.Redirect.write(x)
	if r.Redirect.Status != 0 {
		x.number("HttpRedirectCode", int64(r.Redirect.Status))
	}
	if r.Redirect.Prefix != nil {
		x.text("ReplaceKeyPrefixWith", *r.Redirect.Prefix)
	}
	if r.Redirect.Key != nil {
		x.text("ReplaceKeyWith", *r.Redirect.Key)
	}
	x.close("Redirect")
	x.close("RoutingRule")
}

// DecodeWebsite reads the stored form of a configuration.
func DecodeWebsite(value []byte) (any, error) {
	w := &Website{}
	return w, json.Unmarshal(value, w)
}

// WebsiteRequest is what a browser asks a website for.
type WebsiteRequest struct {
	Scheme string // "http" or "https"
	Host   string // with its port
	Key    string // the path without its first slash, decoded
}

// Redirect returns where a request is sent before anything is looked up (status 0), or instead of an error with that status. No
// location: nowhere.
func (w *Website) Redirect(q WebsiteRequest, status int) (code int, location string) {
	if w.RedirectAll != nil {
		return 301, w.RedirectAll.url(q) + EscapeKey(q.Key)
	}
	for i := range w.Rules {
		if r := &w.Rules[i]; r.matches(q.Key, status) {
			return r.apply(q)
		}
	}
	return 0, ""
}

// matches reports whether a rule is about a request that is answered with a status, or not answered yet (0).
func (r *RoutingRule) matches(key string, status int) bool {
	if r.If == nil {
		return status == 0
	}
	return r.If.Status == status && strings.HasPrefix(key, r.If.Prefix)
}

func (r *RoutingRule) apply(q WebsiteRequest) (code int, location string) {
	key := q.Key
	switch {
	case r.Redirect.Key != nil:
		key = *r.Redirect.Key
	case r.Redirect.Prefix != nil:
		prefix := ""
		if r.If != nil {
			prefix = r.If.Prefix
		}
		key = *r.Redirect.Prefix + strings.TrimPrefix(key, prefix)
	}
	if code = r.Redirect.Status; code == 0 {
		code = 301
	}
	return code, r.Redirect.url(q) + escapeLocation(key)
}

// escapeLocation is EscapeKey of a key that a rule may have given a query or fragment, as AWS lets it.
func escapeLocation(key string) string {
	if i := strings.IndexAny(key, "?#"); i >= 0 {
		return EscapeKey(key[:i]) + strings.Map(visible, key[i:])
	}
	return EscapeKey(key)
}

// visible drops what cannot stand in a header.
func visible(r rune) rune {
	if r <= ' ' || r >= 0x7f {
		return -1
	}
	return r
}

// url returns the beginning of a URL, up to the slash before the key.
func (h *RedirectHost) url(q WebsiteRequest) string {
	scheme, host := h.Protocol, h.Host
	if scheme == "" {
		scheme = q.Scheme
	}
	if host == "" {
		host = q.Host
	}
	return scheme + "://" + host + "/"
}

// WebsiteRedirectHeader names the header by which an object of a website sends browsers elsewhere.
const WebsiteRedirectHeader = "x-amz-website-redirect-location"

// maxWebsiteRedirect bounds its value.
const maxWebsiteRedirect = 2048

// ReadWebsiteRedirect returns where a request says that its object sends browsers, or "".
func ReadWebsiteRedirect(c *Call) (string, error) {
	const op = "s3.ReadWebsiteRedirect"
	to := c.Get(WebsiteRedirectHeader)
	switch {
	case to == "":
	case len(to) > maxWebsiteRedirect:
		return "", NewFault(op, InvalidRedirectLocation, "The length of website redirect location cannot exceed 2,048 characters.")
	case !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "http://") && !strings.HasPrefix(to, "https://"),
		strings.ContainsFunc(to, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", NewFault(op, InvalidRedirectLocation, "")
	}
	return to, nil
}

// WebsiteFailure is an error as a website tells it.
type WebsiteFailure struct {
	Status  int
	Reason  string // the text of the status
	Code    Code
	Message string
	Also    string // what went wrong besides
	ErrorContext
}

// Headers returns the headers that tell scripts the error, whatever document comes with it.
func (f *WebsiteFailure) Headers() []Field {
	return []Field{{"x-amz-error-code", string(f.Code)}, {"x-amz-error-message", f.Message}}
}

// Reply returns the reply without a document of the site's own.
func (f *WebsiteFailure) Reply() Reply {
	r := Reply{Status: f.Status, Header: f.Headers()}
	if f.Code == MethodNotAllowed {
		r.Header = append(r.Header, Field{"Allow", "GET, HEAD, OPTIONS"})
	}
	if f.Method == "HEAD" {
		return r
	}
	title := itoa(f.Status) + " " + f.Reason
	w := &xmlWriter{b: make([]byte, 0, 512)}
	w.open("html")
	w.line()
	w.open("head")
	w.text("title", title)
	w.close("head")
	w.line()
	w.open("body")
	w.line()
	w.text("h1", title)
	w.line()
	w.open("ul")
	w.line()
	for _, item := range f.items() {
		w.text("li", item.Name+": "+item.Value)
		w.line()
	}
	w.close("ul")
	w.line()
	if f.Also != "" {
		w.text("h3", f.Also)
		w.line()
	}
	w.b = append(w.b, "<hr/>\n</body>\n</html>\n"...)
	r.Header, r.Body = append(r.Header, Field{"Content-Type", "text/html; charset=utf-8"}), w.bytes()
	return r
}

// items are what a page says of the error.
func (f *WebsiteFailure) items() []Field {
	items := []Field{{"Code", string(f.Code)}, {"Message", f.Message}}
	switch f.Code {
	case NoSuchKey:
		items = append(items, Field{"Key", string(f.Key)})
	case NoSuchBucket, NoSuchWebsiteConfiguration:
		items = append(items, Field{"BucketName", string(f.Bucket)})
	case MethodNotAllowed:
		items = append(items, Field{"Method", f.Method}, Field{"ResourceType", "OBJECT"})
	}
	return append(items, Field{"RequestId", string(f.RequestID)}, Field{"HostId", f.HostID})
}

func (w *xmlWriter) line() { w.b = append(w.b, '\n') }
