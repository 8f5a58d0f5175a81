import com.zaxxer.hikari.HikariConfig;
import com.zaxxer.hikari.HikariDataSource;
import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.Driver;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

/**
 * pgjdbc with its defaults (a statement is named and kept from its fifth use on, BEGIN goes in one
 * flight with the first statement), with prepareThreshold=1, and by HikariCP.
 */
final class Check {
  private static final int CLIENTS = 8;
  private static final int ROUNDS = 40;
  private static final String URL =
      "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE");

  private interface Body {
    void run() throws Exception;
  }

  private interface Question {
    void run() throws SQLException;
  }

  public static void main(String[] arguments) throws Exception {
    String version = Driver.class.getPackage().getImplementationVersion();
    System.out.println("version " + version + " (HikariCP)");
    check("parameters of many types come back as they went", Check::manyTypes);
    check("a prepared statement follows its client to both server connections", () -> follows(new String[0]));
    check("the same with prepareThreshold=1", () -> follows(new String[] {"prepareThreshold", "1"}));
    check("300 statements, more than a server connection keeps", Check::manyStatements);
    check("a rollback, a savepoint, and an error inside a transaction", Check::transactions);
    check("autosave=always, a savepoint before each statement", Check::autosave);
    check("batches of 1,000 rows, plain and rewritten", Check::batches);
    check("an error in a batch", Check::errorInBatch);
    check("generated keys", Check::generatedKeys);
    check("a result read in parts (setFetchSize)", Check::inParts);
    check("COPY in and out of 50,000 rows, and one that is given up", Check::copies);
    check("8 clients read their own rows", () -> ownRows(() -> connect()));
    check("16 users of a HikariCP pool read their own rows", Check::hikari);
    check("a cancel and a query timeout", Check::cancel);
    check("isolation levels and read-only transactions", Check::levels);
    check("features of a session", Check::features);
    System.out.println("done");
  }

  private static void check(String name, Body body) {
    try {
      body.run();
      System.out.println("ok " + name);
    } catch (Throwable problem) {
      problem.printStackTrace(System.out);
      System.out.println("FAILED " + name + ": " + String.valueOf(problem.getMessage()).lines().findFirst().orElse(""));
      System.exit(1);
    }
  }

  private static void expect(String what, Object expected, Object found) {
    if (!Objects.deepEquals(expected, found)) {
      throw new AssertionError(what + ": expected " + expected + ", found " + found);
    }
  }

  private static String stateOf(Question question) {
    try {
      question.run();
      return "no error";
    } catch (SQLException error) {
      return error.getSQLState();
    }
  }

  private static String env(String name) {
    return System.getenv(name);
  }

  private static String password() throws Exception {
    return Files.readString(Path.of(env("PGPASSFILE"))).strip().split(":", 5)[4];
  }

  private static Connection connect(String... settings) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", env("PGUSER"));
    properties.setProperty("password", password());
    for (int n = 0; n < settings.length; n += 2) {
      properties.setProperty(settings[n], settings[n + 1]);
    }
    return DriverManager.getConnection(URL, properties);
  }

  private static <T> T one(Connection connection, Class<T> type, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int n = 0; n < values.length; n++) {
        statement.setObject(n + 1, values[n]);
      }
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        return rows.getObject(1, type);
      }
    }
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (var statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static void manyTypes() throws Exception {
    String sql = "SELECT ?::int8, ?::text, ?::bytea, ?::text, ?::numeric, ?::timestamp, ?::int4[], ?::text";
    Timestamp at = Timestamp.valueOf("2024-02-29 23:59:58.123456");
    String text = "it's ünïcode ✓ \\";
    String large = "x".repeat(8_000_000);
    try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int n = 0; n < 8; n++) {
        statement.setLong(1, 1L << 40);
        statement.setString(2, text);
        statement.setBytes(3, new byte[] {0, -1});
        statement.setString(4, null);
        statement.setBigDecimal(5, new BigDecimal("12345.678900"));
        statement.setTimestamp(6, at);
        statement.setArray(7, connection.createArrayOf("int4", new Integer[] {1, 2, 3}));
        statement.setString(8, large);
        try (ResultSet row = statement.executeQuery()) {
          row.next();
          expect("number", 1L << 40, row.getLong(1));
          expect("text", text, row.getString(2));
          expect("bytes", new byte[] {0, -1}, row.getBytes(3));
          expect("null", null, row.getString(4));
          expect("numeric", new BigDecimal("12345.678900"), row.getBigDecimal(5));
          expect("timestamp", at, row.getTimestamp(6));
          expect("array", new Integer[] {1, 2, 3}, (Integer[]) row.getArray(7).getArray());
          expect("a long text", large, row.getString(8));
        }
      }
    }
  }

  private static void follows(String[] settings) throws Exception {
    try (Connection client = connect(settings); Connection first = connect(); Connection second = connect();
        PreparedStatement statement = client.prepareStatement("SELECT ?::int * 2, pg_backend_pid()")) {
      for (int n = 0; n < 8; n++) {
        statement.setInt(1, n);
        statement.executeQuery().close();
      }
      first.setAutoCommit(false);
      second.setAutoCommit(false);
      one(first, Integer.class, "SELECT 1");
      one(second, Integer.class, "SELECT 1");
      for (Connection holder : List.of(first, second)) {
        int free = one(holder, Integer.class, "SELECT pg_backend_pid()");
        holder.rollback();
        for (int n = 0; n < 3; n++) {
          statement.setInt(1, n);
          try (ResultSet row = statement.executeQuery()) {
            row.next();
            expect("on the only free server", List.of(n * 2, free), List.of(row.getInt(1), row.getInt(2)));
          }
        }
        one(holder, Integer.class, "SELECT 1");
      }
    }
  }

  private static void manyStatements() throws Exception {
    try (Connection connection = connect("prepareThreshold", "1")) {
      for (int round = 0; round < 2; round++) {
        for (int n = 0; n < 300; n++) {
          expect("sum", n + 5, one(connection, Integer.class, "SELECT ?::int + " + n, 5));
        }
      }
    }
  }

  private static void transactions() throws Exception {
    try (Connection connection = connect()) {
      run(connection, "CREATE TABLE account (id int PRIMARY KEY, amount int)");
      run(connection, "INSERT INTO account VALUES (1, 100)");
      connection.setAutoCommit(false);
      for (int n = 0; n < 10; n++) {
        run(connection, "UPDATE account SET amount = 0");
        expect("the error", "22012", stateOf(() -> one(connection, Integer.class, "SELECT 1 / ?::int", 0)));
        expect("after it", "25P02", stateOf(() -> one(connection, Integer.class, "SELECT ?::int", 0)));
        connection.rollback();
        expect("after rollback", 100, one(connection, Integer.class, "SELECT amount FROM account WHERE id = ?", 1));
        connection.commit();
      }
      run(connection, "UPDATE account SET amount = 101");
      var savepoint = connection.setSavepoint();
      expect("a duplicate", "23505", stateOf(() -> run(connection, "INSERT INTO account VALUES (1, 1)")));
      connection.rollback(savepoint);
      connection.commit();
      expect("after a savepoint", 101, one(connection, Integer.class, "SELECT amount FROM account"));
      connection.rollback();
    }
  }

  private static void autosave() throws Exception {
    try (Connection connection = connect("autosave", "always")) {
      connection.setAutoCommit(false);
      for (int n = 0; n < 10; n++) {
        expect("the error", "22012", stateOf(() -> one(connection, Integer.class, "SELECT 1 / ?::int", 0)));
        expect("the transaction goes on", n, one(connection, Integer.class, "SELECT ?::int", n));
        connection.commit();
      }
    }
  }

  private static void batches() throws Exception {
    for (String rewritten : List.of("false", "true")) {
      try (Connection connection = connect("reWriteBatchedInserts", rewritten)) {
        run(connection, "DROP TABLE IF EXISTS batched");
        run(connection, "CREATE TABLE batched (n int, t text)");
        try (PreparedStatement statement = connection.prepareStatement("INSERT INTO batched VALUES (?, ?)")) {
          for (int round = 0; round < 6; round++) {
            for (int n = 0; n < 1000; n++) {
              statement.setInt(1, n);
              statement.setString(2, "row " + n);
              statement.addBatch();
            }
            expect("counts", 1000, statement.executeBatch().length);
          }
        }
        String sums = "SELECT count(*)::text || ' ' || sum(n) FROM batched WHERE t = 'row ' || n";
        expect("rows and sum", "6000 2997000", one(connection, String.class, sums));
      }
    }
  }

  private static void errorInBatch() throws Exception {
    try (Connection connection = connect()) {
      for (int round = 0; round < 7; round++) {
        try (PreparedStatement statement = connection.prepareStatement("SELECT 1 / ?::int")) {
          for (int n : new int[] {1, 0, 2}) {
            statement.setInt(1, n);
            statement.addBatch();
          }
          statement.executeBatch();
          throw new AssertionError("no error");
        } catch (BatchUpdateException error) {
          boolean known = Set.of("22012", "0100E").contains(String.valueOf(error.getSQLState()));
          expect("SQLSTATE " + error.getSQLState(), true, known);
        }
        expect("afterwards", round, one(connection, Integer.class, "SELECT ?::int", round));
      }
    }
  }

  private static void generatedKeys() throws Exception {
    try (Connection connection = connect()) {
      run(connection, "CREATE TABLE keyed (id serial PRIMARY KEY, t text)");
      for (int n = 1; n < 10; n++) {
        try (PreparedStatement statement =
            connection.prepareStatement("INSERT INTO keyed (t) VALUES (?)", PreparedStatement.RETURN_GENERATED_KEYS)) {
          statement.setString(1, "row " + n);
          statement.executeUpdate();
          ResultSet keys = statement.getGeneratedKeys();
          keys.next();
          expect("key", n, keys.getInt(1));
        }
      }
    }
  }

  private static void inParts() throws Exception {
    try (Connection connection = connect()) {
      connection.setAutoCommit(false);
      for (int round = 0; round < 7; round++) {
        try (PreparedStatement statement = connection.prepareStatement("SELECT generate_series(1, ?::int)")) {
          statement.setFetchSize(100);
          statement.setInt(1, 1000);
          int expected = 0;
          try (ResultSet rows = statement.executeQuery()) {
            while (rows.next()) {
              expect("row", ++expected, rows.getInt(1));
            }
          }
          expect("rows", 1000, expected);
        }
        connection.commit();
      }
    }
  }

  private static void copies() throws Exception {
    try (Connection connection = connect()) {
      run(connection, "CREATE TABLE copied (n int, t text)");
      StringBuilder lines = new StringBuilder();
      for (int n = 0; n < 50_000; n++) {
        lines.append(n).append("\ttext ").append(n).append('\n');
      }
      var copy = connection.unwrap(PGConnection.class).getCopyAPI();
      expect("rows", 50_000L, copy.copyIn("COPY copied FROM STDIN", new StringReader(lines.toString())));
      var out = new ByteArrayOutputStream();
      copy.copyOut("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", out);
      expect("the same", lines.toString(), out.toString(StandardCharsets.UTF_8));
      var givenUp = copy.copyIn("COPY copied FROM STDIN");
      byte[] line = "1\tx\n".getBytes(StandardCharsets.UTF_8);
      givenUp.writeToCopy(line, 0, line.length);
      givenUp.cancelCopy();
      expect("no row of it", 50_000L, one(connection, Long.class, "SELECT count(*) FROM copied"));
      String wrong = "no number\ttext\n";
      expect("the error", "22P02", stateOf(() -> {
        try {
          copy.copyIn("COPY copied FROM STDIN", new StringReader(wrong));
        } catch (java.io.IOException error) {
          throw new SQLException(error);
        }
      }));
      expect("afterwards", 50_000L, one(connection, Long.class, "SELECT count(*) FROM copied"));
    }
  }

  private static void ownRows(Callable<Connection> open) throws Exception {
    Set<Integer> servers = ConcurrentHashMap.newKeySet();
    inThreads(CLIENTS, client -> {
      try (Connection connection = open.call()) {
        connection.setAutoCommit(false);
        for (int n = 0; n < ROUNDS; n++) {
          String mark = "client " + client + " round " + n;
          String sql = "SELECT ?::text || '|' || pg_backend_pid()";
          String first = one(connection, String.class, sql, mark);
          String second = one(connection, String.class, sql + " FROM pg_sleep(0.001)", mark);
          connection.commit();
          expect("one server in a transaction", first, second);
          expect("its mark", mark, first.substring(0, first.indexOf('|')));
          servers.add(Integer.valueOf(first.substring(first.indexOf('|') + 1)));
        }
      }
    });
    expect("at most 2 server connections: " + servers, true, servers.size() <= 2);
  }

  private interface Client {
    void run(int number) throws Exception;
  }

  private static void inThreads(int count, Client client) throws Exception {
    var threads = Executors.newFixedThreadPool(count);
    List<Future<?>> all = new ArrayList<>();
    for (int n = 0; n < count; n++) {
      int number = n;
      all.add(threads.submit(() -> {
        client.run(number);
        return null;
      }));
    }
    threads.shutdown();
    for (Future<?> one : all) {
      one.get();
    }
  }

  private static void hikari() throws Exception {
    HikariConfig config = new HikariConfig();
    config.setJdbcUrl(URL);
    config.setUsername(env("PGUSER"));
    config.setPassword(password());
    try (HikariDataSource pool = new HikariDataSource(config)) {
      inThreads(16, client -> {
        for (int n = 0; n < 20; n++) {
          String mark = "client " + client + " round " + n;
          try (Connection connection = pool.getConnection()) {
            connection.setAutoCommit(n % 2 == 0);
            expect("its mark", mark, one(connection, String.class, "SELECT ?::text", mark));
            expect("and again", mark, one(connection, String.class, "SELECT ?::text", mark));
          }
        }
      });
    }
  }

  private static void cancel() throws Exception {
    try (Connection victim = connect(); Connection other = connect()) {
      for (int n = 0; n < 3; n++) {
        var statement = victim.createStatement();
        Thread canceller = new Thread(() -> {
          try {
            Thread.sleep(300);
            statement.cancel();
          } catch (Exception error) {
            throw new IllegalStateException(error);
          }
        });
        canceller.start();
        expect("the cancel", "57014", stateOf(() -> statement.executeQuery("SELECT pg_sleep(60)")));
        canceller.join();
        statement.setQueryTimeout(1);
        expect("the timeout", "57014", stateOf(() -> statement.executeQuery("SELECT pg_sleep(60)")));
        expect("the victim afterwards", n, one(victim, Integer.class, "SELECT ?::int", n));
        expect("its neighbour", n, one(other, Integer.class, "SELECT ?::int", n));
      }
    }
  }

  private static void levels() throws Exception {
    try (Connection connection = connect()) {
      connection.setAutoCommit(false);
      connection.setReadOnly(true);
      for (int n = 0; n < 7; n++) {
        expect("a read-only transaction", "on", one(connection, String.class, "SHOW transaction_read_only"));
        connection.commit();
      }
      connection.setReadOnly(false);
      expect("a transaction that writes", "off", one(connection, String.class, "SHOW transaction_read_only"));
      connection.commit();
    }
  }

  private static void features() throws Exception {
    try (Connection connection = connect(); Connection other = connect()) {
      run(connection, "LISTEN news");
      run(other, "NOTIFY news");
      PGNotification[] heard = connection.unwrap(PGConnection.class).getNotifications(500);
      expect("LISTEN (getNotifications)", 1, heard == null ? 0 : heard.length);
      connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      connection.setAutoCommit(false);
      String level = one(connection, String.class, "SHOW transaction_isolation");
      connection.rollback();
      connection.setAutoCommit(true);
      expect("setTransactionIsolation (SET SESSION CHARACTERISTICS)", "serializable", level);
      run(connection, "SET lock_timeout = '4s'");
      expect("SET of lock_timeout across transactions", "4s", one(connection, String.class, "SHOW lock_timeout"));
      run(connection, "CREATE TEMPORARY TABLE mine (n int)");
      expect("a temporary table across transactions", 0L, one(connection, Long.class, "SELECT count(*) FROM mine"));
    }
  }
}
