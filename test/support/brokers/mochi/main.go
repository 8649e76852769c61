// A mochi-mqtt broker for tests. Its JSON configuration is the first argument: port, users with password and rights, limits.
package main

import (
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"syscall"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

type user struct {
	Password string   `json:"password"`
	Write    []string `json:"write"`
	Read     []string `json:"read"`
}

type config struct {
	Address               string          `json:"address"`
	Users                 map[string]user `json:"users"`
	MaxPacketBytes        uint32          `json:"maxPacketBytes"`
	MaxFilters            int             `json:"maxFilters"`
	UsernameIsTheClientID bool            `json:"usernameIsTheClientId"`
}

type hook struct {
	mqtt.HookBase
	config config
}

func (h *hook) ID() string { return "test" }

func (h *hook) Provides(b byte) bool {
	return b == mqtt.OnConnect || b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPacketRead
}

func (h *hook) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	if h.config.UsernameIsTheClientID {
		cl.ID = string(cl.Properties.Username)
	}
	return nil
}

func (h *hook) OnConnectAuthenticate(_ *mqtt.Client, pk packets.Packet) bool {
	known, ok := h.config.Users[string(pk.Connect.Username)]
	return ok && known.Password == string(pk.Connect.Password)
}

// matches tells whether everything that `asked`, a topic or filter, can match is matched by `granted` too.
func matches(granted, asked string) bool {
	g, a := levels(granted), levels(asked)
	for i, level := range g {
		if level == "#" {
			return true
		}
		if i >= len(a) || a[i] == "#" || (level != "+" && level != a[i]) {
			return false
		}
	}
	return len(g) == len(a)
}

func levels(topic string) []string {
	parts, start := []string{}, 0
	for i := 0; i < len(topic); i++ {
		if topic[i] == '/' {
			parts, start = append(parts, topic[start:i]), i+1
		}
	}
	return append(parts, topic[start:])
}

func (h *hook) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	known := h.config.Users[string(cl.Properties.Username)]
	granted := known.Read
	if write {
		granted = known.Write
	}
	for _, filter := range granted {
		if matches(filter, topic) {
			return true
		}
	}
	return false
}

// OnPacketRead ends a connection that subscribes to too many filters at once, as AWS IoT Core does.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if pk.FixedHeader.Type == packets.Subscribe && h.config.MaxFilters > 0 && len(pk.Filters) > h.config.MaxFilters {
		cl.Stop(packets.ErrProtocolViolation)
		return pk, packets.ErrProtocolViolation
	}
	return pk, nil
}

func main() {
	var settings config
	if err := json.Unmarshal([]byte(os.Args[1]), &settings); err != nil {
		log.Fatal(err)
	}
	capabilities := mqtt.NewDefaultServerCapabilities()
	capabilities.MaximumPacketSize = settings.MaxPacketBytes
	server := mqtt.New(&mqtt.Options{Capabilities: capabilities})
	if err := server.AddHook(&hook{config: settings}, nil); err != nil {
		log.Fatal(err)
	}
	if err := server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: settings.Address})); err != nil {
		log.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		log.Fatal(err)
	}
	stopping := make(chan os.Signal, 1)
	signal.Notify(stopping, syscall.SIGTERM, syscall.SIGINT)
	<-stopping
	_ = server.Close()
}
