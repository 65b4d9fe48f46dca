package model

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/mysql/*.sql
var mysqlMigrations embed.FS

// How long a MySQL server is waited for, and how long it waits for us.
const (
	mysqlDial      = 2 * time.Second
	mysqlIO        = 6 * time.Second // one read or write; longer than any lock is waited for
	mysqlBound     = 4 * time.Second // a write, all attempts together
	mysqlWait      = 2               // s: for a row's lock
	mysqlPatience  = 1               // s: for a row's lock, of a writer that has missed a conversation
	mysqlIdle      = 3               // s: a transaction of which nothing is heard is rolled back, as of a node that froze
	mysqlMigrating = 60              // s: for the node that is migrating
	mysqlWrites    = 4               // connections for all that is written besides messages
	mysqlQuiet     = 5 * time.Minute // how long a connection is kept unused
)

func mysql() *dialect {
	return &dialect{
		name:       "mysql",
		goose:      goose.DialectMySQL,
		migrations: func() (fs.FS, error) { return fs.Sub(mysqlMigrations, "migrations/mysql") },
		writers:    2,
		open:       openMySQL,
		tables: `SELECT COUNT(*) FROM (SELECT table_name AS name FROM information_schema.tables
			WHERE table_schema = DATABASE()) AS t WHERE true`,
		now:     "UNIX_TIMESTAMP()",
		locking: " FOR UPDATE",
		sharing: " LOCK IN SHARE MODE",
		skip:    " SKIP LOCKED",
		by:      " FORCE INDEX (PRIMARY)",
		limit:   " LIMIT ?",
		bracket: func(sel string) string { return "(" + sel + ")" },
		insert:  "INSERT",
		sameRow: " ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)",
		pairRow: " ON DUPLICATE KEY UPDATE kind = kind",
		byPair:  " FORCE INDEX (conversations_pair)",
		keepRow: " ON DUPLICATE KEY UPDATE role = role",
		maxRows: 256,
		unique:  func(err error) bool { return mysqlCode(err) == 1062 },
		transient: func(err error) bool {
			switch mysqlCode(err) {
			case 1020, 1021, 1037, 1038, 1040, 1041, 1053, 1114, 1205, 1206, 1213, 1290, 1836, 1927, 3024, 4031:
				return true
			}
			return mysqlLost(err)
		},
		again: func(err error) bool {
			switch mysqlCode(err) {
			case 1020, 1040, 1053, 1205, 1213, 1927, 4031:
				return true
			}
			return mysqlLost(err)
		},
		waited: func(err error) bool { return mysqlCode(err) == 1205 },
		lost:   mysqlLost,
		// An upsert is one statement that can be prepared for any number of
		// rows. All of them are there, and locked.
		raiseHeads: func(rows int) string {
			return `INSERT INTO conversations (kind, id, last_seq, last_time) VALUES ` + repeated("(0, ?, ?, ?)", rows) + `
				ON DUPLICATE KEY UPDATE last_seq = VALUES(last_seq), last_time = VALUES(last_time), touched = UNIX_TIMESTAMP()`
		},
		// An INSERT that selects locks nothing of what it reads. A device that
		// went meanwhile has no cursors, nor has a member that left.
		raiseDelivered: func(rows int) string {
			return `INSERT INTO cursors (user_id, device, conversation_id, delivered_seq)
				SELECT STRAIGHT_JOIN v.user_id, d.device, v.conversation_id, LEAST(v.seq, c.last_seq)
				FROM (` + union("? AS user_id, CAST(? AS BINARY) AS device, ? AS conversation_id, ? AS seq", "?, CAST(? AS BINARY), ?, ?", rows) + `) AS v
				JOIN conversations c ON c.id = v.conversation_id
				JOIN devices d ON d.user_id = v.user_id AND d.device = v.device
				JOIN members m ON m.conversation_id = v.conversation_id AND m.user_id = v.user_id
				ON DUPLICATE KEY UPDATE delivered_seq = GREATEST(delivered_seq, VALUES(delivered_seq))`
		},
		// An UPDATE of a join locks what it reads: so no conversations here.
		raiseRead: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, ? AS conversation_id, ? AS seq", "?, ?, ?", rows) + `) AS v
				STRAIGHT_JOIN members m ON m.conversation_id = v.conversation_id AND m.user_id = v.user_id
				SET m.read_seq = GREATEST(m.read_seq, v.seq)`
		},
		raiseUsed: func(rows int) string {
			return `UPDATE (` + union("? AS user_id, CAST(? AS BINARY) AS device, ? AS ms", "?, CAST(? AS BINARY), ?", rows) + `) AS v
				STRAIGHT_JOIN devices d ON d.user_id = v.user_id AND d.device = v.device
				SET d.last_used = GREATEST(d.last_used, v.ms)`
		},
	}
}

// union is a table of so many rows, that MariaDB and MySQL both take.
func union(first, further string, rows int) string {
	return "SELECT " + first + strings.Repeat(" UNION ALL SELECT "+further, rows-1)
}

// mysqlCode is the number of the server's error in err, or 0.
func mysqlCode(err error) uint16 {
	var e *client.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func mysqlLost(err error) bool {
	var n net.Error
	return errors.Is(err, client.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n)
}

func openMySQL(ctx context.Context, rest string, o *Options) (*store, error) {
	config, where, err := mysqlConfig(rest)
	if err != nil {
		return nil, err
	}
	fail := func(err error) error { return fmt.Errorf("%s: %w", where, mysqlReason(config.DBName, err)) }
	pool := func(n int, c mysqlConnector) (*sqlx.DB, error) {
		c.config = config.Clone()
		c.config.ReadTimeout, c.config.WriteTimeout, c.config.InterpolateParams = c.io, c.io, c.interpolate
		inner, err := client.NewConnector(c.config)
		if err != nil {
			return nil, fail(err)
		}
		c.Connector = inner
		db := sqlx.NewDb(sql.OpenDB(&c), "mysql")
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(n)
		db.SetConnMaxIdleTime(mysqlQuiet)
		return db, nil
	}
	s := &store{where: where, bound: mysqlBound}
	s.close = func() error {
		for _, db := range append([]*sqlx.DB{s.reading, s.writing, s.migrating}, s.appending...) {
			if db != nil {
				_ = db.Close() // the server is told good-bye, if it is there
			}
		}
		return nil
	}
	s.tidy = func(context.Context) error { return nil }
	s.alone = func() (func() error, error) { return func() error { return nil }, nil }
	s.turn = func(ctx context.Context) (func() error, error) { return mysqlTurn(ctx, s.migrating, config.DBName) }

	for _, p := range []struct {
		to *(*sqlx.DB)
		n  int
		c  mysqlConnector
	}{
		{&s.reading, o.Readers, mysqlConnector{io: mysqlIO, wait: mysqlWait}},
		// What is prepared only once costs two more round trips.
		{&s.writing, mysqlWrites, mysqlConnector{io: mysqlIO, wait: mysqlWait, interpolate: true}},
		{&s.migrating, 2, mysqlConnector{wait: mysqlMigrating}},
	} {
		if *p.to, err = pool(p.n, p.c); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	for range 2 * o.Writers {
		db, err := pool(1, mysqlConnector{io: mysqlIO, wait: mysqlPatience})
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.appending = append(s.appending, db)
	}
	s.migrating.SetMaxIdleConns(0)
	if err := s.writing.PingContext(ctx); err != nil {
		return nil, errors.Join(fail(err), s.close())
	}
	return s, nil
}

// mysqlConfig reads what stands behind "mysql:". Its errors don't repeat it:
// there is a password in it.
func mysqlConfig(rest string) (config *client.Config, where string, err error) {
	const want = "want mysql://user:password@host:3306/database, with %XX for what is special in a URL"
	u, err := url.Parse("mysql:" + rest)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Fragment != "" {
		return nil, "", errors.New("the mysql store's URL can't be understood: " + want)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" || strings.Contains(name, "/") {
		return nil, "", fmt.Errorf("mysql://%s: no database is named: %s", u.Host, want)
	}
	config = client.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, name
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	where = "mysql://" + config.Addr + "/" + name
	for key, values := range u.Query() {
		if key != "tls" {
			return nil, "", fmt.Errorf("%s: unknown option %q: there is only tls=true, tls=preferred and tls=skip-verify", where, key)
		}
		config.TLSConfig = values[len(values)-1]
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Timeout = mysqlDial
	config.ClientFoundRows = true           // a row that was so already counts as changed, as with SQLite
	config.ParseTime = true                 // as goose wants it
	config.Collation = "utf8mb4_general_ci" // MariaDB and MySQL both have it; columns have their own
	config.Logger = &client.NopLogger{}     // what it would log comes back as an error too
	return config, where, nil
}

// mysqlReason says what to do about the errors that first starts meet.
func mysqlReason(database string, err error) error {
	switch mysqlCode(err) {
	case 1049:
		return fmt.Errorf("there is no such database; make it: CREATE DATABASE %s: %w", database, err)
	case 1044, 1045, 1698:
		return fmt.Errorf("this user may not, or the password is wrong: %w", err)
	}
	return err
}

// mysqlConnector opens connections whose sessions are as chatd needs them.
type mysqlConnector struct {
	driver.Connector
	config      *client.Config
	io          time.Duration // a read or a write; 0: what it takes
	wait        int           // s: for a lock
	interpolate bool
}

// Connect puts the settings of a session where no default of the server can
// change them. READ COMMITTED: what is read under a lock is what is stored
// then; and no gaps are locked. Comments /*M! are MariaDB's alone.
func (c *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = %d, lock_wait_timeout = %d"+
			" /*M! , idle_transaction_timeout = %d */", c.wait, c.wait, c.idle()),
	} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, q, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	return conn, nil
}

func (c *mysqlConnector) idle() int {
	if c.io == 0 {
		return 0
	}
	return mysqlIdle
}

// mysqlTurn holds a lock of the server's, on a connection of its own, with
// which it ends.
func mysqlTurn(ctx context.Context, db *sqlx.DB, database string) (release func() error, err error) {
	c, err := db.Connx(ctx)
	if err != nil {
		return nil, err
	}
	var got sql.NullInt64
	err = c.GetContext(ctx, &got, `SELECT GET_LOCK(CONCAT('chatd:', MD5(?)), ?)`, database, mysqlMigrating)
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("another node has been migrating for %d s", mysqlMigrating)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c.Close, nil
}
