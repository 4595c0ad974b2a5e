package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"

	"github.com/aisle-store/aisle/cluster/config"
	"github.com/aisle-store/aisle/cluster/control"
)

// settingsFile keeps the cluster settings as this node last saw them: those that take effect at a start are needed before
// the node has heard of its cluster again.
const settingsFile = "settings.json"

// loadSettings returns the cluster settings of the last run, or those for a new cluster.
func (s *state) loadSettings(initial map[string]string) (map[string]string, error) {
	text, err := os.ReadFile(s.path(settingsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return initial, nil
	}
	settings := make(map[string]string)
	if err == nil {
		err = json.Unmarshal(text, &settings)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(settingsFile), err)
	}
	return settings, nil
}

func (s *state) saveSettings(settings map[string]string) error {
	text, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	return writeDurably(s.path(settingsFile), append(text, '\n'))
}

// followSettings applies the settings that take effect at once, and keeps the others for the next start.
func (n *node) followSettings() {
	var last map[string]string
	for first := true; ; first = false {
		var now map[string]string
		err := n.control.Wait(n.life, func(v *control.View) bool {
			now = v.Settings()
			return first || !maps.Equal(now, last)
		})
		if err != nil {
			return // the node stops
		}
		last = now
		n.level.Set(levelOf(now))
		if err := n.state.saveSettings(now); err != nil {
			n.log.Error("the cluster settings cannot be kept for the next start", "error", err)
		}
	}
}

// levelOf returns the level of log lines that settings ask for.
func levelOf(settings map[string]string) slog.Level {
	var level slog.Level
	name := config.LogLevel.Get(func(name string) string { return settings[name] })
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}
