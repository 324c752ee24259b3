import de.bwaldvogel.mongo.*;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.*;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.wire.message.*;
import io.netty.channel.Channel;
import java.io.FileInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.time.*;
import java.util.*;
import java.util.concurrent.*;
import javax.crypto.*;
import javax.crypto.spec.*;

/**
 * mongo-java-server (data in memory, MongoDB's wire) with what it lacks for our tests, as MongoDB documents it: TLS, SCRAM-SHA-256,
 * users with privileges, connectionStatus, a replica set with lag and step-down, validators and views in listCollections.
 *
 * Arguments, name=value: ports=1,2,3 rs=NAME cert=FILE key=FILE admin=PASSWORD. The command `test` is for the tests alone.
 */
public class Server {
  static final MemoryBackend store = new MemoryBackend();
  static final List<Integer> ports = new ArrayList<>();
  static final Map<String, User> users = new ConcurrentHashMap<>();
  static final Map<String, Document> options = new ConcurrentHashMap<>(); // database.collection -> what create was given
  static final Map<Integer, Integer> lag = new ConcurrentHashMap<>(); // member -> seconds behind
  static final Set<Integer> down = ConcurrentHashMap.newKeySet();
  static final Map<Channel, String> signedIn = new ConcurrentHashMap<>();
  static volatile int primary = 0;
  static String set;
  static boolean guarded;

  static final Set<String> OPEN = Set.of("hello", "ismaster", "isMaster", "ping", "buildInfo", "buildinfo", "saslStart", "saslContinue", "endSessions", "logout", "connectionStatus");
  static final Map<String, String> ACTIONS = new HashMap<>();
  static {
    for (String each : List.of("find", "aggregate", "count", "distinct")) ACTIONS.put(each, "find");
    for (String each : List.of("insert", "update", "listIndexes", "collStats")) ACTIONS.put(each, each);
    ACTIONS.put("delete", "remove"); ACTIONS.put("drop", "dropCollection"); ACTIONS.put("create", "createCollection");
    ACTIONS.put("createIndexes", "createIndex"); ACTIONS.put("listCollections", "listCollections"); ACTIONS.put("dbStats", "dbStats");
    ACTIONS.put("dropDatabase", "dropDatabase"); ACTIONS.put("collMod", "collMod");
  }
  static final Set<String> WRITES = Set.of("insert", "update", "delete", "findAndModify", "create", "drop", "dropDatabase", "createIndexes", "collMod");

  record Privilege(String database, String collection, Set<String> actions) {}

  static class User {
    final String password; boolean root; final List<Privilege> privileges = new CopyOnWriteArrayList<>(); final List<Document> roles = new CopyOnWriteArrayList<>();
    User(String password, boolean root) { this.password = password; this.root = root; }
    boolean may(String action, String database, String collection) {
      return root || privileges.stream().anyMatch(p -> (p.database.isEmpty() || p.database.equals(database)) && (p.collection.isEmpty() || p.collection.equals(collection)) && p.actions.contains(action));
    }
    boolean sees(String database, String collection) {
      return root || privileges.stream().anyMatch(p -> (p.database.isEmpty() || p.database.equals(database)) && (p.collection.isEmpty() || p.collection.equals(collection)));
    }
  }

  static class Scram { String user, message, nonce; byte[] stored, server; boolean brief, done; }

  static byte[] hmac(byte[] key, String text) throws Exception { Mac mac = Mac.getInstance("HmacSHA256"); mac.init(new SecretKeySpec(key, "HmacSHA256")); return mac.doFinal(text.getBytes(StandardCharsets.UTF_8)); }
  static MongoServerError refusal(int code, String name, String text) { return new MongoServerError(code, name, text); }
  static Document ok() { return new Document("ok", 1.0); }

  static class Member implements MongoBackend {
    final int number; final Map<Channel, Scram> pending = new ConcurrentHashMap<>();
    Member(int number) { this.number = number; }
    boolean first() { return set == null || number == primary; }

    Document hello(Document asked, boolean old) {
      Document answer = new Document(old ? "ismaster" : "isWritablePrimary", first()).append("helloOk", true);
      Instant now = Instant.now();
      if (set != null) {
        List<String> hosts = new ArrayList<>();
        for (int port : ports) hosts.add("127.0.0.1:" + port);
        answer.append("setName", set).append("setVersion", 1).append("secondary", !first()).append("hosts", hosts).append("me", hosts.get(number)).append("primary", hosts.get(primary))
          .append("lastWrite", new Document("lastWriteDate", now.minusSeconds(lag.getOrDefault(number, 0))));
      }
      if (asked.get("saslSupportedMechs") != null) answer.append("saslSupportedMechs", List.of("SCRAM-SHA-256"));
      return answer.append("maxBsonObjectSize", 16777216).append("maxMessageSizeBytes", 48000000).append("maxWriteBatchSize", 100000)
        .append("localTime", now).append("minWireVersion", 0).append("maxWireVersion", 21).append("readOnly", false).append("ok", 1.0);
    }

    Document signIn(Channel line, Document asked, boolean start) throws Exception {
      String text = new String(((byte[]) (asked.get("payload") instanceof BinData data ? data.getData() : asked.get("payload"))), StandardCharsets.UTF_8);
      if (start) return begin(line, asked, text);
      Scram scram = pending.get(line);
      if (scram == null) throw refusal(17, "ProtocolError", "No SASL session state found");
      if (scram.done) { pending.remove(line); return said(new byte[0], true); }
      int at = text.lastIndexOf(",p=");
      byte[] proof = Base64.getDecoder().decode(text.substring(at + 3)), signature = hmac(scram.stored, scram.message + "," + text.substring(0, at));
      for (int each = 0; each < signature.length; each++) proof[each] ^= signature[each];
      boolean right = scram.user != null && text.contains(",r=" + scram.nonce) && MessageDigest.isEqual(MessageDigest.getInstance("SHA-256").digest(proof), scram.stored);
      if (!right) { pending.remove(line); throw refusal(18, "AuthenticationFailed", "Authentication failed."); }
      signedIn.put(line, scram.user);
      scram.done = true;
      byte[] verifier = hmac(scram.server, scram.message + "," + text.substring(0, at));
      return said(("v=" + Base64.getEncoder().encodeToString(verifier)).getBytes(), scram.brief);
    }

    Document begin(Channel line, Document asked, String text) throws Exception {
      if (!"SCRAM-SHA-256".equals(asked.get("mechanism"))) throw refusal(334, "MechanismUnavailable", "Unsupported mechanism");
      Scram scram = new Scram();
      String bare = text.substring(text.indexOf("n="));
      String name = bare.substring(2, bare.indexOf(",r=")).replace("=2C", ",").replace("=3D", "=");
      User user = users.get(name);
      byte[] salt = new byte[28], fresh = new byte[18];
      new SecureRandom().nextBytes(salt); new SecureRandom().nextBytes(fresh);
      scram.nonce = bare.substring(bare.indexOf(",r=") + 3) + Base64.getEncoder().encodeToString(fresh);
      char[] password = (user == null ? "\u0001" : user.password).toCharArray();
      byte[] salted = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256").generateSecret(new PBEKeySpec(password, salt, 4096, 256)).getEncoded();
      scram.stored = MessageDigest.getInstance("SHA-256").digest(hmac(salted, "Client Key"));
      scram.server = hmac(salted, "Server Key");
      String first = "r=" + scram.nonce + ",s=" + Base64.getEncoder().encodeToString(salt) + ",i=4096";
      scram.message = bare + "," + first;
      scram.brief = asked.get("options") instanceof Document given && Boolean.TRUE.equals(given.get("skipEmptyExchange"));
      scram.user = user == null ? null : name;
      pending.put(line, scram);
      return said(first.getBytes(), false);
    }

    Document said(byte[] payload, boolean done) { return new Document("conversationId", 1).append("done", done).append("payload", new BinData(payload)).append("ok", 1.0); }

    Document own(Channel line, String database, String command, Document asked) {
      if (down.contains(number)) { line.close(); throw refusal(11600, "InterruptedAtShutdown", "down"); }
      try {
        switch (command) {
          case "hello": return hello(asked, false);
          case "ismaster": case "isMaster": return hello(asked, true);
          case "saslStart": return signIn(line, asked, true);
          case "saslContinue": return signIn(line, asked, false);
          case "connectionStatus": return status(line);
          default:
        }
      } catch (RuntimeException error) { throw error; } catch (Exception error) { throw new RuntimeException(error); }
      String target = asked.get(command) instanceof String text ? text : "";
      User user = guarded && !OPEN.contains(command) ? judged(line, database, command, target, asked) : null;
      if (set != null && WRITES.contains(command) && !first()) throw refusal(10107, "NotWritablePrimary", "not primary");
      if (set != null && !first() && "find".equals(ACTIONS.get(command))) {
        Object mode = asked.get("$readPreference") instanceof Document preference ? preference.get("mode") : null;
        if (mode == null || mode.equals("primary")) throw refusal(13435, "NotPrimaryNoSecondaryOk", "not primary and secondaryOk=false");
      }
      switch (command) {
        case "test": return test(asked);
        case "replSetStepDown": primary = (primary + 1) % ports.size(); return ok();
        case "create": return create(line, database, target, asked);
        case "collMod": options.merge(database + "." + target, new Document("validator", asked.get("validator")), (was, now) -> { was.putAll(now); return was; }); return ok();
        case "listCollections": return list(line, database, user, asked);
        case "listDatabases": return databases(line, user, asked);
        case "getParameter": if (user != null && !user.root) throw refusal(13, "Unauthorized", "not authorized"); return ok().append("authenticationMechanisms", List.of("SCRAM-SHA-256"));
        case "drop": options.remove(database + "." + target); return null;
        default: return null;
      }
    }

    User judged(Channel line, String database, String command, String target, Document asked) {
      String name = signedIn.get(line);
      User user = name == null ? null : users.get(name);
      if (user == null) throw refusal(13, "Unauthorized", "command " + command + " requires authentication");
      boolean namesOnly = command.equals("listCollections") && Boolean.TRUE.equals(asked.get("nameOnly")) && Boolean.TRUE.equals(asked.get("authorizedCollections"));
      boolean free = namesOnly ? user.privileges.stream().anyMatch(p -> p.database.isEmpty() || p.database.equals(database)) : Set.of("listDatabases", "getMore", "killCursors", "getParameter").contains(command);
      String action = ACTIONS.getOrDefault(command, command);
      if (!free && !user.root && !user.may(action, database, command.equals("listCollections") ? "" : target)) throw refusal(13, "Unauthorized", "not authorized on " + database + " to execute command " + asked);
      return user;
    }

    Document status(Channel line) {
      String name = signedIn.get(line);
      User user = name == null ? null : users.get(name);
      List<Document> privileges = new ArrayList<>();
      if (user != null) for (Privilege each : user.privileges) privileges.add(new Document("resource", new Document("db", each.database).append("collection", each.collection)).append("actions", new ArrayList<>(each.actions)));
      if (user != null && user.root) privileges.add(new Document("resource", new Document("anyResource", true)).append("actions", List.of("anyAction")));
      Document told = new Document("authenticatedUsers", name == null ? List.of() : List.of(new Document("user", name).append("db", "admin")))
        .append("authenticatedUserRoles", user == null ? List.of() : new ArrayList<>(user.roles)).append("authenticatedUserPrivileges", privileges);
      return new Document("authInfo", told).append("ok", 1.0);
    }

    Document create(Channel line, String database, String target, Document asked) {
      Document kept = new Document();
      for (String name : List.of("validator", "validationLevel", "viewOn", "pipeline")) if (asked.containsKey(name)) kept.append(name, asked.get(name));
      options.put(database + "." + target, kept);
      return kept.containsKey("viewOn") ? ok() : store.handleCommand(line, database, "create", new Document("create", target).append("$db", database));
    }

    Document list(Channel line, String database, User user, Document asked) {
      boolean namesOnly = Boolean.TRUE.equals(asked.get("nameOnly"));
      Document found = store.handleCommand(line, database, "listCollections", new Document("listCollections", 1).append("cursor", new Document()).append("$db", database));
      List<Document> told = new ArrayList<>();
      for (Object each : (Collection<?>) ((Document) found.get("cursor")).get("firstBatch")) told.add(((Document) each).clone());
      for (var each : options.entrySet()) {
        String name = each.getKey().substring(database.length() + 1 > each.getKey().length() ? 0 : database.length() + 1);
        if (each.getKey().startsWith(database + ".") && each.getValue().containsKey("viewOn")) told.add(new Document("name", name).append("type", "view"));
        for (Document one : told) if (each.getKey().equals(database + "." + one.get("name"))) one.append("options", each.getValue());
      }
      if (user != null) told.removeIf(one -> !user.sees(database, (String) one.get("name")) && Boolean.TRUE.equals(asked.get("authorizedCollections")));
      if (namesOnly) told.replaceAll(one -> new Document("name", one.get("name")).append("type", one.getOrDefault("type", "collection")));
      return new Document("cursor", new Document("id", 0L).append("ns", database + ".$cmd.listCollections").append("firstBatch", told)).append("ok", 1.0);
    }

    Document databases(Channel line, User user, Document asked) {
      Document found = store.handleCommand(line, "admin", "listDatabases", new Document("listDatabases", 1).append("$db", "admin"));
      List<Document> told = new ArrayList<>();
      for (Object each : (Collection<?>) found.get("databases")) if (holds(line, (String) ((Document) each).get("name"))) if (user == null || user.root || user.privileges.stream().anyMatch(p -> p.database.isEmpty() || p.database.equals(((Document) each).get("name")))) told.add((Document) each);
      return new Document("databases", told).append("ok", 1.0);
    }

    boolean holds(Channel line, String database) {
      Document found = store.handleCommand(line, database, "listCollections", new Document("listCollections", 1).append("cursor", new Document()).append("$db", database));
      return !((Collection<?>) ((Document) found.get("cursor")).get("firstBatch")).isEmpty();
    }

    @SuppressWarnings("unchecked")
    Document test(Document asked) {
      String name = (String) asked.getOrDefault("user", "");
      switch ((String) asked.get("test")) {
        case "user": users.put(name, new User((String) asked.get("password"), Boolean.TRUE.equals(asked.get("root")))); break;
        case "forget": users.remove(name); break;
        case "grant": users.get(name).privileges.add(new Privilege((String) asked.get("database"), (String) asked.get("collection"), new TreeSet<>((Collection<String>) asked.get("actions")))); break;
        case "revoke": users.get(name).privileges.removeIf(p -> p.database.equals(asked.get("database")) && p.collection.equals(asked.get("collection"))); break;
        case "role": users.get(name).roles.add(new Document("role", asked.get("role")).append("db", asked.get("database"))); break;
        case "lag": lag.put((Integer) asked.get("member"), (Integer) asked.get("seconds")); break;
        case "down": down.add((Integer) asked.get("member")); break;
        case "up": down.remove((Integer) asked.get("member")); break;
        case "lines": return ok().append("n", (int) signedIn.values().stream().filter(name::equals).count());
        default: throw refusal(59, "CommandNotFound", "no such test");
      }
      return ok();
    }

    public Document handleMessage(MongoMessage message) {
      Document asked = message.getDocument();
      String command = asked.keySet().iterator().next();
      Document answer = own(message.getChannel(), message.getDatabaseName(), command, asked);
      return answer != null ? answer : store.handleMessage(message);
    }
    public Document handleCommand(Channel line, String database, String command, Document asked) {
      Document answer = own(line, database, command, asked);
      return answer != null ? answer : store.handleCommand(line, database, command, asked);
    }
    public QueryResult handleQuery(MongoQuery query) { return store.handleQuery(query); }
    public void handleClose(Channel line) { pending.remove(line); signedIn.remove(line); store.handleClose(line); }
    public void dropDatabase(String name) { store.dropDatabase(name); }
    public Collection<Document> getCurrentOperations(MongoQuery query) { return store.getCurrentOperations(query); }
    public Document getServerStatus() { return store.getServerStatus(); }
    public void close() { }
    public void closeCursors(List<Long> cursors) { store.closeCursors(cursors); }
    public Clock getClock() { return store.getClock(); }
    public void enableOplog() { }
    public void disableOplog() { }
    public MongoDatabase resolveDatabase(String name) { return store.resolveDatabase(name); }
    public MongoBackend version(MongoVersion version) { return this; }
  }

  public static void main(String[] given) throws Exception {
    Map<String, String> told = new HashMap<>();
    for (String each : given) told.put(each.substring(0, each.indexOf('=')), each.substring(each.indexOf('=') + 1));
    for (String port : told.get("ports").split(",")) ports.add(Integer.parseInt(port));
    set = told.get("rs");
    guarded = told.containsKey("admin");
    if (guarded) users.put("admin", new User(told.get("admin"), true));
    store.version(new MongoVersion() {
      public List<Integer> getVersionArray() { return List.of(7, 0, 14); }
      public int getWireVersion() { return 21; }
    });
    for (int number = 0; number < ports.size(); number++) {
      MongoServer server = new MongoServer(new Member(number));
      if (told.containsKey("cert")) encrypt(server, told.get("cert"), told.get("key"));
      server.bind("127.0.0.1", ports.get(number));
    }
    System.out.println("READY");
    System.in.read(); // ends with whoever started it
    System.exit(0);
  }

  static void encrypt(MongoServer server, String certificate, String key) throws Exception {
    X509Certificate[] chain;
    try (var file = new FileInputStream(certificate)) { chain = CertificateFactory.getInstance("X.509").generateCertificates(file).toArray(new X509Certificate[0]); }
    String text = Files.readString(Path.of(key)).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    server.enableSsl(KeyFactory.getInstance(chain[0].getPublicKey().getAlgorithm()).generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(text))), null, chain);
  }
}
