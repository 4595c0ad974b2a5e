package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// MaxBody is the largest body of a control request.
const MaxBody = 1 << 20

// ActionMsg is the body of every control request.
type ActionMsg struct {
	Action string          `json:"action"`
	Name   string          `json:"name,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
}

// NewAction returns the body of a control request; value may be nil.
func NewAction(action string, value any) ([]byte, error) {
	return json.Marshal(struct {
		Action string `json:"action"`
		Value  any    `json:"value,omitempty"`
	}{action, value})
}

// ParseAction reads the body of a control request. An empty body is the empty action.
func ParseAction(body []byte) (ActionMsg, error) {
	const op = "cluster/api.ParseAction"
	var msg ActionMsg
	if len(bytes.TrimSpace(body)) == 0 {
		return msg, nil
	}
	decode := json.NewDecoder(bytes.NewReader(body))
	if err := decode.Decode(&msg); err != nil {
		return msg, cluster.E(op, "", cluster.KindInvalid, fmt.Errorf("the body is not an action message: %w", err))
	}
	if _, err := decode.Token(); !errors.Is(err, io.EOF) {
		return msg, cluster.Fail(op, "", cluster.KindInvalid, "data follow the action message")
	}
	return msg, nil
}

// Decode reads the value of the message into v; without a value v stays as it is.
func (m *ActionMsg) Decode(v any) error {
	const op = "cluster/api.ActionMsg.Decode"
	if len(m.Value) == 0 || string(m.Value) == "null" {
		return nil
	}
	if err := json.Unmarshal(m.Value, v); err != nil {
		return cluster.E(op, "", cluster.KindInvalid, fmt.Errorf("value of action %q: %w", m.Action, err))
	}
	return nil
}

// Props reads the value of the message as properties or settings: {"checksum.type":"md5"} or {"checksum":{"type":"md5"}}.
// Numbers and booleans become their text; null is left out.
func (m *ActionMsg) Props() (map[string]string, error) {
	const op = "cluster/api.ActionMsg.Props"
	flat := make(map[string]string)
	if len(m.Value) == 0 {
		return flat, nil
	}
	var value map[string]any
	decode := json.NewDecoder(bytes.NewReader(m.Value))
	decode.UseNumber()
	if err := decode.Decode(&value); err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, fmt.Errorf("value of action %q is not an object: %w", m.Action, err))
	}
	if err := flatten(flat, "", value); err != nil {
		return nil, cluster.E(op, "", cluster.KindInvalid, err)
	}
	return flat, nil
}

func flatten(flat map[string]string, prefix string, value map[string]any) error {
	for name, v := range value {
		switch v := v.(type) {
		case nil:
		case string:
			flat[prefix+name] = v
		case bool:
			flat[prefix+name] = strconv.FormatBool(v)
		case json.Number:
			flat[prefix+name] = v.String()
		case map[string]any:
			if err := flatten(flat, prefix+name+".", v); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s%s is a list", prefix, name)
		}
	}
	return nil
}

// nest turns {"s3.redirect": "auto"} into {"s3": {"redirect": "auto"}}, the sections of AIStore's configuration.
func nest(flat map[string]string) map[string]any {
	nested := make(map[string]any)
	for name, value := range flat {
		at := nested
		parts := strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			next, ok := at[part].(map[string]any)
			if !ok {
				next = make(map[string]any)
				at[part] = next
			}
			at = next
		}
		at[parts[len(parts)-1]] = value
	}
	return nested
}
