package ops

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"github.com/VictoriaMetrics/metrics"
)

// serveMetrics writes all metrics in the text format of Prometheus.
func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	s.cfg.Set.WritePrometheus(&b)
	metrics.WriteProcessMetrics(&b)
	metrics.WriteFDMetrics(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(withHelp(b.Bytes())) // an error means that the client has disconnected
}

// exposeTypes makes the library write a HELP line without a text, and a TYPE line,
// before each metric. It is a setting of the whole process.
func exposeTypes() { metrics.ExposeMetadata(true) }

// withHelp adds the texts of metricHelp to the HELP lines.
func withHelp(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/2)
	for line := range bytes.Lines(text) {
		if name, ok := bytes.CutPrefix(line, []byte("# HELP ")); ok {
			name = bytes.TrimSpace(name)
			line = fmt.Appendf(nil, "# HELP %s %s\n", name, helpOf(string(name)))
		}
		out = append(out, line...)
	}
	return out
}

func helpOf(name string) string {
	switch {
	case metricHelp[name] != "":
		return metricHelp[name]
	case strings.HasPrefix(name, "go_"):
		return "From the Go runtime."
	case strings.HasPrefix(name, "process_"):
		return "From the operating system, about this process."
	}
	return "" // a test finds this
}

// registerBuildInfo registers chatd_build_info, whose labels have the version.
func registerBuildInfo(set *metrics.Set, version string) {
	set.GetOrCreateGauge(fmt.Sprintf("chatd_build_info{version=%q,go=%q}", version, runtime.Version()), func() float64 { return 1 })
}

// metricHelp has the HELP text of each metric of chatd. TestMetricsOfNode in
// package test compares it with what nodes export.
var metricHelp = map[string]string{

	"chatd_audit_dropped_total": "Lines missing from the audit log, because they could not be written, or not fast enough.",
	"chatd_audit_skipped_total": "Lines that are not in the audit log, because an address had too many refused requests, or a user too many changes of groups.",
	"chatd_audit_events_total":  "Events of the audit log, by action and outcome.",
	"chatd_build_info":          "Always 1. The labels have the versions of chatd and Go.",

	"chatd_bus_broken_total":              "Hints from other nodes that could not be decoded.",
	"chatd_bus_connections_asking":        "Connections to Redis that wait for an answer.",
	"chatd_bus_dropped_total":             "Outgoing hints that could not be published.",
	"chatd_bus_echoes_total":              "Hints that this node received from itself.",
	"chatd_bus_publish_errors_total":      "Redis calls that failed or timed out.",
	"chatd_bus_published_total":           "Hints published to other nodes.",
	"chatd_bus_received_total":            "Hints received from Redis.",
	"chatd_bus_reconnects_total":          "Reconnects to Redis.",
	"chatd_bus_subscriptions":             "Redis channels that this node subscribes to.",
	"chatd_bus_subscriptions_unconfirmed": "Subscriptions that Redis hasn't confirmed yet.",
	"chatd_bus_unknown_versions_total":    "Hints in the format of a newer release.",
	"chatd_bus_up":                        "1 if Redis is available, otherwise 0.",

	"chatd_cluster_nodes":         "Nodes that are alive, including this one.",
	"chatd_cluster_refused_total": "Invalid or excessive hints about nodes and their users.",
	"chatd_cluster_rosters_total": "Times that this node asked another for its list of users.",
	"chatd_cluster_users":         "Users who are online on any node.",

	"chatd_ready":                              "1: the node accepts clients. 0: it starts or drains.",
	"chatd_log_lines_lost_total":               "Log lines that could not be written: nobody read the log, or its disk was full.",
	"chatd_model_batch_messages":               "Messages per transaction.",
	"chatd_model_conversations_missed_total":   "Conversations deferred because another node had locked them.",
	"chatd_model_conversations_waiting":        "Conversations that another node has locked.",
	"chatd_model_cursor_dropped_total":         "Cursors dropped because too many were not stored yet.",
	"chatd_model_cursor_failed_total":          "Failed transactions that store cursors.",
	"chatd_model_cursor_rows_total":            "Cursors stored.",
	"chatd_model_cursor_transactions_total":    "Transactions that store cursors.",
	"chatd_model_cursors_pending":              "Cursors that are not stored yet.",
	"chatd_model_disk_free_bytes":              "SQLite only: free space of the database's disk.",
	"chatd_model_duplicate_batches_total":      "Transactions that a unique index refused.",
	"chatd_model_handover_batches":             "Stored batches that wait for delivery.",
	"chatd_model_lock_waits_total":             "Lock waits that timed out.",
	"chatd_model_members_known":                "Entries in the cache of group members.",
	"chatd_model_messages_behind_total":        "Queued messages refused because an earlier one of the same connection and conversation failed.",
	"chatd_model_messages_failed_total":        "Messages that the database could not store.",
	"chatd_model_messages_repeated_total":      "Messages that were stored before and sent again.",
	"chatd_model_messages_stored_total":        "Messages committed.",
	"chatd_model_pairs_known":                  "Entries in the cache of one-to-one conversations.",
	"chatd_model_queue_bytes":                  "Bytes of messages queued to be stored.",
	"chatd_model_queue_messages":               "Messages queued to be stored.",
	"chatd_model_queue_refused_total":          "Messages refused because the queue was full.",
	"chatd_model_recent_folded_total":          "SQLite only: messages moved to the indexes.",
	"chatd_model_recent_messages":              "SQLite only: messages that are not in the indexes yet.",
	"chatd_model_recent_refused_conversations": "SQLite only: conversations whose messages can't be moved to the indexes.",
	"chatd_model_recent_slice_seconds":         "SQLite only: duration of the transactions that move messages to the indexes.",
	"chatd_model_retries_total":                "Transactions that were run again.",
	"chatd_model_rollbacks_total":              "Transactions rolled back.",
	"chatd_model_store_bytes":                  "Size of the database, without SQLite's write-ahead log.",
	"chatd_model_tidy_failed_total":            "Failed attempts to delete old rows.",
	"chatd_model_transaction_seconds":          "Duration of the transactions that store messages.",
	"chatd_model_unsure_commits_total":         "Transactions whose COMMIT failed without saying whether it took effect.",
	"chatd_model_waiter_jobs_total":            "Batches that waited for a lock on a connection of their own.",

	"chatd_model_wal_bytes":           "Size of the write-ahead log of SQLite.",
	"chatd_ops_admin_refused_total":   "Connections to --admin closed because of a limit.",
	"chatd_ops_admin_requests_total":  "Requests to --admin.",
	"chatd_ops_health_refused_total":  "Connections to --health closed because of a limit.",
	"chatd_ops_health_requests_total": "Requests to --health.",
	"chatd_ops_refused_total":         "Connections to --http closed because of a limit.",
	"chatd_ops_requests_total":        "Requests to --http.",
	"chatd_ops_tunnels":               "Open tunnels from --http to the chat port.",
	"chatd_ops_tunnels_refused_total": "Tunnels refused because of a limit.",

	"chatd_reactor_accept_backoffs_total":          "Pauses after the operating system refused to accept a connection.",
	"chatd_reactor_addresses_forgotten_total":      "Addresses whose connection rate was forgotten because the table was full.",
	"chatd_reactor_bad_frames_total":               "Frames that could not be decoded.",
	"chatd_reactor_bad_lengths_total":              "Frames with a bad length.",
	"chatd_reactor_bad_proxy_headers_total":        "Malformed PROXY headers.",
	"chatd_reactor_bytes_in_total":                 "Bytes received from clients.",
	"chatd_reactor_bytes_out_total":                "Bytes sent to clients.",
	"chatd_reactor_connections":                    "Open connections.",
	"chatd_reactor_connections_accepted_total":     "Connections accepted.",
	"chatd_reactor_connections_closed_total":       "Connections closed.",
	"chatd_reactor_connections_refused_total":      "Connections refused, by reason.",
	"chatd_reactor_droppable_frames_dropped_total": "Events that were not sent because the receiver reads too slowly.",
	"chatd_reactor_frames_in_total":                "Frames received from clients.",
	"chatd_reactor_frames_out_total":               "Frames sent to clients.",
	"chatd_reactor_held_bytes":                     "Bytes of requests that are held back.",
	"chatd_reactor_http_other_total":               "HTTP requests to the chat port that are not for a WebSocket.",
	"chatd_reactor_kicks_total":                    "Connections closed by the server, by reason.",
	"chatd_reactor_lane_full_total":                "Jobs refused because a queue was full.",
	"chatd_reactor_lane_waiting":                   "Jobs that wait for a worker.",
	"chatd_reactor_limited_total":                  "Frames refused because a connection was too fast, by limit.",
	"chatd_reactor_mailbox_bytes":                  "Bytes queued for event loops.",
	"chatd_reactor_mailbox_full_total":             "Frames, events and hints that an event loop had no room for.",
	"chatd_reactor_panics_total":                   "Bugs that closed a connection.",
	"chatd_reactor_waiting_bytes":                  "Bytes of output that are not sent yet.",
	"chatd_reactor_websocket_errors_total":         "WebSocket connections closed because of a protocol error.",
	"chatd_reactor_websocket_refusals_total":       "WebSocket handshakes refused.",
	"chatd_reactor_websocket_upgrades_total":       "WebSocket handshakes accepted.",

	"chatd_service_acks_total":               "Chat messages acknowledged.",
	"chatd_service_behind_failed_total":      "Messages refused because an earlier one of the same connection and conversation failed.",
	"chatd_service_catchup_reads_total":      "Reads of the log for sessions that missed messages. One has pages of up to 64 conversations.",
	"chatd_service_events_dropped_total":     "Events dropped because an event loop had no room.",
	"chatd_service_events_total":             "Events sent by clients.",
	"chatd_service_failed_logins_total":      "Logins that failed, by reason.",
	"chatd_service_hints_dropped_total":      "Incoming hints about messages dropped because an event loop had no room.",
	"chatd_service_internal_errors_total":    "Requests answered with errno 10.",
	"chatd_service_limited_total":            "Requests that reached a limit of the service, by limit.",
	"chatd_service_limits_forgotten_total":   "Entries of limits that were forgotten because a table was full.",
	"chatd_service_logins_total":             "Logins that succeeded.",
	"chatd_service_member_reloads_total":     "Times that an event loop read the members of a group again.",
	"chatd_service_notices_dropped_total":    "Hints and notices dropped because a queue was full or Redis failed.",
	"chatd_service_pushes_total":             "Chat messages pushed to sessions.",
	"chatd_service_refused_total":            "Requests refused, for any reason.",
	"chatd_service_request_seconds":          "Time from a request to its answer, by op, for requests that use the database.",
	"chatd_service_sessions":                 "Connections that are logged in.",
	"chatd_service_unanswered_bytes":         "Bytes of accepted chat messages without an answer.",
	"chatd_service_unanswered_refused_total": "Messages refused because too many had no answer yet.",
}
