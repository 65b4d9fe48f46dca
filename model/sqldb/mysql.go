package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	client "github.com/go-sql-driver/mysql"
	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"
)

// Timeouts and limits of MySQL connections.
const (
	mysqlDial      = 2 * time.Second
	mysqlIO        = 6 * time.Second // one read or write on a connection; longer than any lock wait
	mysqlWrite     = 4 * time.Second // a write with all its retries
	mysqlLockWait  = 2               // s to wait for a row lock
	mysqlDedicated = 1               // s to wait for a row lock on a dedicated writer's connections
	mysqlIdle      = 3               // s after which the server rolls back an idle transaction, as its node may have frozen
	mysqlMigrating = 60              // s to wait for another node that is migrating
	mysqlPatience  = 2 * time.Second // after which that is logged
	mysqlWriters   = 4               // connections of DB.Writer
	mysqlUnused    = 5 * time.Minute // how long an unused connection is kept
	mysqlKept      = 10 * 60         // s after which the server ends an unused connection, as its node may be gone
	mysqlPatient   = 8 * 60 * 60     // mysqlKept for connections of DB.Maintenance, which wait for each other
	mysqlUpkeep    = 3               // connections of DB.Maintenance

	// mysqlMinPacket is the least max_allowed_packet: enough for a message, and for
	// MaxRows rows of anything else.
	mysqlMinPacket = 512 << 10
	// Upper bounds of the prepared statements on one connection: of a dedicated
	// writer, and of a reader.
	mysqlWriterStmts = 160
	mysqlReaderStmts = 64
)

func mysql() *Dialect {
	return &Dialect{
		Name:         "mysql",
		Now:          "UNIX_TIMESTAMP()",
		ForUpdate:    " FOR UPDATE",
		ForShare:     " LOCK IN SHARE MODE",
		SkipLocked:   " SKIP LOCKED",
		ByPrimaryKey: " FORCE INDEX (PRIMARY)",
		Limit:        " LIMIT ?",
		Insert:       "INSERT",
		MaxRows:      256,
		Operand:      func(query string) string { return "(" + query + ")" },
		Classify:     classifyMySQL,
		goose:        goose.DialectMySQL,
		tables: `SELECT COUNT(*) FROM (SELECT table_name AS name FROM information_schema.tables
			WHERE table_schema = DATABASE()) AS t WHERE true`,
		writers: 2,
		connect: connectMySQL,
	}
}

func classifyMySQL(err error) Class {
	switch mysqlCode(err) {
	case 1062: // ER_DUP_ENTRY
		return Duplicate
	case 1205: // ER_LOCK_WAIT_TIMEOUT
		return LockTimeout
	case 1020, 1040, 1053, 1203, 1213, 1927, 4031: // changed since read, too many connections (of all, of a user), shutdown, deadlock, killed, idle
		return Retryable
	case 1021, 1037, 1038, 1041, 1114, 1206, 1226, 1290, 1461, 1836, 1969, 3024: // disk or memory full, table full, limit of a user, too many statements, read-only, timeout
		return Transient
	}
	if mysqlDisconnected(err) {
		return Disconnected
	}
	return Permanent
}

// mysqlCode returns the server's error number in err, or 0.
func mysqlCode(err error) uint16 {
	var e *client.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func mysqlDisconnected(err error) bool {
	var n net.Error
	return errors.Is(err, client.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &n)
}

func connectMySQL(ctx context.Context, address string, o *Config) (*DB, error) {
	config, where, err := mysqlConfig(address)
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
		db.SetConnMaxIdleTime(mysqlUnused)
		return db, nil
	}
	s := &DB{Where: where, WriteTimeout: mysqlWrite}
	s.close = func() error {
		pools := []*sqlx.DB{s.Reader, s.Writer, s.Maintenance}
		for _, w := range s.Dedicated {
			pools = append(pools, w.Conn, w.LockConn)
		}
		for _, db := range pools {
			if db != nil {
				_ = db.Close() // fails if the server is gone
			}
		}
		return nil
	}
	s.tidy = func(context.Context) error { return nil }
	s.lockOut = func() (func() error, error) { return func() error { return nil }, nil }
	s.lockSchema = func(ctx context.Context) (func() error, error) {
		waits := time.AfterFunc(mysqlPatience, func() {
			o.Logger.Warn("another node is migrating the schema; waiting", "database", where, "for", mysqlMigrating*time.Second)
		})
		defer waits.Stop()
		return lockMySQLSchema(ctx, s.Maintenance, config.DBName)
	}
	for _, p := range []struct {
		to *(*sqlx.DB)
		n  int
		c  mysqlConnector
	}{
		{&s.Reader, o.Readers, mysqlConnector{io: mysqlIO, wait: mysqlLockWait}},
		// Preparing a statement to run it once costs two more round trips.
		{&s.Writer, mysqlWriters, mysqlConnector{io: mysqlIO, wait: mysqlLockWait, interpolate: true}},
		{&s.Maintenance, mysqlUpkeep, mysqlConnector{wait: mysqlMigrating}},
	} {
		if *p.to, err = pool(p.n, p.c); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	for range o.Writers {
		w := WriterConns{}
		if w.Conn, err = pool(1, mysqlConnector{io: mysqlIO, wait: mysqlDedicated, implicit: true}); err == nil {
			w.LockConn, err = pool(1, mysqlConnector{io: mysqlIO, wait: mysqlDedicated, implicit: true})
		}
		s.Dedicated = append(s.Dedicated, w)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	s.Maintenance.SetMaxIdleConns(0)
	if err := s.Writer.PingContext(ctx); err != nil {
		return nil, errors.Join(fail(err), s.close())
	}
	if err := s.checkLimits(ctx, o); err != nil {
		return nil, errors.Join(fail(err), s.close())
	}
	return s, nil
}

// checkLimits reads the server's limits, and returns an error if one is too low for
// what this process may need. It sets MaxBytes.
func (db *DB) checkLimits(ctx context.Context, o *Config) error {
	var packet, conns, stmts int
	err := db.Writer.QueryRowContext(ctx, `SELECT @@max_allowed_packet, @@max_connections, @@max_prepared_stmt_count`).Scan(&packet, &conns, &stmts)
	if err != nil {
		return fmt.Errorf("read the server's limits: %w", err)
	}
	if packet < mysqlMinPacket {
		return fmt.Errorf("the server's max_allowed_packet is %d bytes, too few for a message: set it to at least %d, better to 16777216", packet, mysqlMinPacket)
	}
	db.MaxBytes = packet / 2 // the rest is for the statement, and for escapes
	if o.Shared {
		return nil // an operator's command, which opens few connections
	}
	if need := o.Readers + mysqlWriters + mysqlUpkeep + 2*o.Writers; conns < need {
		return fmt.Errorf("the server's max_connections is %d, but this node may need %d: raise it, to at least the sum of what all nodes need", conns, need)
	}
	if need := o.Readers*mysqlReaderStmts + 2*o.Writers*mysqlWriterStmts; stmts < need {
		return fmt.Errorf("the server's max_prepared_stmt_count is %d, but this node may need %d: raise it, to at least the sum of what all nodes need", stmts, need)
	}
	return nil
}

// mysqlConfig parses the URL after "mysql:". Its errors don't quote the URL,
// which contains a password.
func mysqlConfig(address string) (config *client.Config, where string, err error) {
	const want = "want mysql://user:password@host:3306/database, with special characters escaped as %XX"
	u, err := url.Parse("mysql:" + address)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Fragment != "" || strings.Contains(u.Hostname(), ":") && u.Host[0] != '[' {
		return nil, "", errors.New("invalid mysql URL: " + want)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if name == "" || strings.Contains(name, "/") {
		return nil, "", fmt.Errorf("mysql://%s: the URL names no database: %s", u.Host, want)
	}
	config = client.NewConfig()
	config.Net, config.Addr, config.DBName = "tcp", u.Host, name
	if u.Port() == "" {
		config.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	where = "mysql://" + config.Addr + "/" + name
	for key, values := range u.Query() {
		const options = "want tls=true, tls=preferred or tls=skip-verify"
		if key != "tls" {
			return nil, "", fmt.Errorf("%s: unknown option %q: %s", where, key, options)
		}
		switch v := values[len(values)-1]; v {
		case "true", "false", "preferred", "skip-verify":
			config.TLSConfig = v
		default:
			return nil, "", fmt.Errorf("%s: tls=%q: %s", where, v, options)
		}
	}
	config.User = u.User.Username()
	config.Passwd, _ = u.User.Password()
	config.Timeout = mysqlDial
	config.MaxAllowedPacket = 0             // use the server's, read at each connect
	config.ClientFoundRows = true           // an UPDATE counts unchanged rows too, as in SQLite
	config.ParseTime = true                 // goose needs it
	config.Collation = "utf8mb4_general_ci" // known to MariaDB and MySQL; columns set their own
	config.Logger = &client.NopLogger{}     // the client returns all errors that it logs
	return config, where, nil
}

// CheckMySQL returns an error if a URL isn't that of a MySQL database. It doesn't connect,
// and the error contains no password.
func CheckMySQL(url string) error {
	_, _, err := mysqlConfig(strings.TrimPrefix(url, "mysql:"))
	return err
}

// mysqlReason adds a hint to errors that are common on a first start.
func mysqlReason(database string, err error) error {
	if errors.Is(err, client.ErrInvalidConn) {
		return fmt.Errorf("the server has closed the connection, or didn't answer within %v: %w", mysqlIO, err)
	}
	switch mysqlCode(err) {
	case 1049:
		return fmt.Errorf("the database %s doesn't exist; create it with CREATE DATABASE %[1]s CHARACTER SET utf8mb4: %w", database, err)
	case 1044, 1045, 1698:
		return fmt.Errorf("wrong user or password, or the user has no access to the database: %w", err)
	}
	return err
}

// mysqlConnector opens connections and sets up their sessions.
type mysqlConnector struct {
	driver.Connector
	config      *client.Config
	io          time.Duration // timeout of a read or a write; 0: none
	wait        int           // s to wait for a lock
	interpolate bool          // send arguments as text
	implicit    bool          // see implicitConn; all statements must run in transactions
}

// Connect opens a connection and sets its session variables, so that the
// server's defaults don't matter. With READ COMMITTED, a read under a lock
// sees the latest commit, and there are no gap locks. Only MariaDB executes
// comments that start with /*M!.
func (c *mysqlConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		fmt.Sprintf("SET sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = %d, lock_wait_timeout = %d, wait_timeout = %d"+
			" /*M! , idle_transaction_timeout = %d */", c.wait, c.wait, c.unused(), c.idle()),
	} {
		if _, err := conn.(driver.ExecerContext).ExecContext(ctx, q, nil); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if !c.implicit {
		return conn, nil
	}
	all, ok := conn.(mysqlConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the MySQL driver's connection %T lacks a method", conn), conn.Close())
	}
	if _, err := all.ExecContext(ctx, "SET autocommit = 0", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return implicitConn{all}, nil
}

// implicitConn is a connection with autocommit off: the first statement after a
// commit begins the next transaction. This saves the round trip of START
// TRANSACTION, one of about seven of an append.
type implicitConn struct{ mysqlConn }

// mysqlConn has the methods of the driver's connections that database/sql uses.
type mysqlConn interface {
	driver.Conn
	driver.Pinger
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
}

// BeginTx implements driver.ConnBeginTx. It doesn't block.
func (c implicitConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	return implicitTx{c.mysqlConn}, nil
}

// implicitTx is a transaction of an implicitConn.
type implicitTx struct{ conn driver.ExecerContext }

func (tx implicitTx) Commit() error   { return tx.end("COMMIT") }
func (tx implicitTx) Rollback() error { return tx.end("ROLLBACK") }

func (tx implicitTx) end(statement string) error {
	_, err := tx.conn.ExecContext(context.Background(), statement, nil)
	return err
}

func (c *mysqlConnector) idle() int {
	if c.io == 0 {
		return 0
	}
	return mysqlIdle
}

// unused returns the session's wait_timeout. The server's may be lower than the time
// for which the pool keeps a connection.
func (c *mysqlConnector) unused() int {
	if c.io == 0 {
		return mysqlPatient
	}
	return mysqlKept
}

// lockMySQLSchema takes a named lock on the server. release closes the
// connection that has the lock, and so releases it.
func lockMySQLSchema(ctx context.Context, db *sqlx.DB, database string) (release func() error, err error) {
	c, err := db.Connx(ctx)
	if err != nil {
		return nil, err
	}
	var got sql.NullInt64
	err = c.GetContext(ctx, &got, `SELECT GET_LOCK(CONCAT('chatd:', MD5(?)), ?)`, database, mysqlMigrating)
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("another node has been migrating the schema for more than %d s: wait until it is done, then start again", mysqlMigrating)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c.Close, nil
}

// HeldLock is a named lock on a MySQL server, which its connection keeps. If the process
// dies, the server releases the lock at once; if the machine does, after heldKept. It
// isn't safe for concurrent use.
type HeldLock struct {
	db   *DB
	name string
	conn *sqlx.Conn // nil: lost
}

const (
	heldKept = 10              // s after which the server ends the connection if Keep isn't called
	heldCall = 3 * time.Second // maximum time of a call of Keep
)

// HoldLock takes a named lock. It blocks on the database. It returns an error if
// another connection has the lock.
func (db *DB) HoldLock(ctx context.Context, name string) (*HeldLock, error) {
	l := &HeldLock{db: db, name: name}
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *HeldLock) take(ctx context.Context) error {
	c, err := l.db.Maintenance.Connx(ctx)
	if err != nil {
		return err
	}
	var got sql.NullInt64
	if _, err = c.ExecContext(ctx, `SET SESSION wait_timeout = ?`, heldKept); err == nil {
		err = c.GetContext(ctx, &got, `SELECT GET_LOCK(?, 0)`, l.name)
	}
	if err == nil && got.Int64 != 1 {
		err = fmt.Errorf("the lock %s is taken", l.name)
	}
	if err != nil {
		return errors.Join(err, c.Close())
	}
	l.conn = c
	return nil
}

// Keep keeps the lock, or takes it again if the connection was lost. Call it every few
// seconds. It blocks for up to 3 s. lost reports that the lock was free for a while.
func (l *HeldLock) Keep(ctx context.Context) (lost bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, heldCall)
	defer cancel()
	if l.conn != nil {
		if _, err := l.conn.ExecContext(ctx, `DO 1`); err == nil {
			return false, nil
		}
		l.Close()
	}
	return true, l.take(ctx)
}

// Close releases the lock.
func (l *HeldLock) Close() {
	if l.conn != nil {
		_ = l.conn.Close() // fails if the connection was lost, and the lock with it
		l.conn = nil
	}
}
