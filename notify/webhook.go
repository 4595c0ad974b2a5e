package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/aisle-store/aisle/cluster/config"
)

// webhook posts each message to a URL. What stands before the host is a bearer token, or with a ':' user and password.
type webhook struct {
	client   http.Client
	url      string
	bearer   string
	user     *url.Userinfo
	password string
}

func newWebhook(d config.Destination) (conn, error) {
	u, err := url.Parse(d.URL)
	if err != nil {
		return nil, errors.New("the URL cannot be read") // the error of url.Parse would tell its secrets
	}
	w := &webhook{}
	if u.User != nil {
		password, ok := u.User.Password()
		if ok {
			w.user, w.password = u.User, password
		} else {
			w.bearer = u.User.Username()
		}
		u.User = nil
	}
	w.url = u.String()
	w.client = http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, ForceAttemptHTTP2: true},
		// Whoever is configured is to answer, and nobody else is to see the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

func (w *webhook) send(ctx context.Context, messages []Message) (int, error) {
	return one(ctx, messages, w.post)
}

func (w *webhook) post(ctx context.Context, m *Message) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(m.Body))
	if err != nil {
		return errors.New("the URL cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "aisle")
	switch {
	case w.bearer != "":
		req.Header.Set("Authorization", "Bearer "+w.bearer)
	case w.user != nil:
		req.SetBasicAuth(w.user.Username(), w.password)
	}
	rep, err := w.client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL, which may hold a secret
		}
		return err
	}
	defer rep.Body.Close()
	_, _ = io.CopyN(io.Discard, rep.Body, 64<<10) // so that the connection can be used again; if not, another one is made
	switch rep.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return &refusedError{fmt.Errorf("the webhook answered with status %d", rep.StatusCode)}
	}
	if rep.StatusCode < 200 || rep.StatusCode > 299 {
		return fmt.Errorf("the webhook answered with status %d", rep.StatusCode)
	}
	return nil
}

func (w *webhook) close() { w.client.CloseIdleConnections() }
