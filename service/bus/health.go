package bus

// The bus is available while both kinds of connections are healthy.
const (
	subscriberConn = iota // the connection for subscriptions
	commandConns          // the connections of the pool
)

// markFailed records that a connection of the given kind has failed.
func (r *Redis) markFailed(kind int, err error) {
	r.pool.reset() // the other connections have probably failed as well
	r.mu.Lock()
	r.healthy[kind] = false
	r.failures++
	r.lastErr = err
	r.up.Store(false)
	r.mu.Unlock()
	r.wakeMonitor()
}

// markHealthy records that connections of the given kind work again.
func (r *Redis) markHealthy(kind int) {
	r.mu.Lock()
	r.healthy[kind] = true
	r.up.Store(r.healthy[subscriberConn] && r.healthy[commandConns])
	r.mu.Unlock()
	r.wakeMonitor()
}

func (r *Redis) wakeMonitor() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// monitor calls onChange when Redis becomes unavailable and when it is
// available again. While commands fail, it tries to connect.
func (r *Redis) monitor() {
	reportedUp, seenFailures := true, 0
	var retry backoff
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.wake:
		}
		for {
			r.mu.Lock()
			up, commandsWork, failures, err := r.up.Load(), r.healthy[commandConns], r.failures, r.lastErr
			r.mu.Unlock()
			if reportedUp && failures != seenFailures { // even if it is up again: messages were lost
				reportedUp = false
				r.log.Warn("Redis is unavailable: messages from other nodes are delayed", "err", err)
				r.onChange(false)
			}
			seenFailures = failures
			if up && !reportedUp {
				reportedUp = true
				r.log.Info("Redis is available again")
				r.onChange(true)
			}
			if commandsWork {
				break
			}
			if !retry.wait(r.ctx) {
				return
			}
			if r.pool.probe(r.ctx) == nil {
				retry.succeeded()
				r.markHealthy(commandConns)
			}
		}
	}
}
