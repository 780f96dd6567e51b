import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ProtocolFamily;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What every server in Java does around its mechanism: options, listener, signals, failures. */
final class Contract {
    /** One read takes at most this much. */
    static final int BUFFER_BYTES = 16 * 1024;

    /** How long accepting rests when there is no descriptor for the next connection. */
    static final int REST_MS = 100;

    private static final int BACKLOG_MAX = 65535;
    private static final Pattern TCP =
            Pattern.compile("tcp://(?:\\[([0-9a-fA-F:.]+)]|([0-9.]+)):([0-9]{1,5})");
    private static final Pattern UNIX = Pattern.compile("unix://(/.+)");

    /** The mechanism: serves for ever. */
    interface Mechanism {
        void serve(ServerSocketChannel listener) throws IOException;
    }

    private record Address(ProtocolFamily family, SocketAddress socket) {}

    private Contract() {}

    /** The body of main. A failure is one line on stderr. */
    static void run(String[] arguments, Mechanism mechanism) {
        if (arguments.length == 1 && arguments[0].equals("--version")) {
            System.out.println("Java " + System.getProperty("java.version") + ", "
                    + System.getProperty("java.vm.name"));
            return;
        }
        Address address = addressFrom("LISTEN", "tcp://0.0.0.0:7000");
        int backlog = backlogFrom("BACKLOG", "4096");
        try {
            ServerSocketChannel listener = ServerSocketChannel.open(address.family);
            listener.bind(address.socket, backlog);
            stopOnSignal(address.socket);
            mechanism.serve(listener);
        } catch (IOException | UncheckedIOException error) {
            fail(1, "cannot serve " + address.socket + ": " + error.getMessage());
        }
    }

    /** A virtual machine that a signal ends exits with 128 + its number, unless a hook does. */
    private static void stopOnSignal(SocketAddress address) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                if (address instanceof UnixDomainSocketAddress unix) {
                    Files.deleteIfExists(unix.getPath());
                }
            } catch (IOException left) {
                // Whoever owns the directory removes it.
            }
            Runtime.getRuntime().halt(0);
        }));
    }

    private static Address addressFrom(String name, String otherwise) {
        String text = System.getenv().getOrDefault(name, otherwise);
        Matcher unix = UNIX.matcher(text);
        if (unix.matches()) {
            return new Address(StandardProtocolFamily.UNIX,
                    UnixDomainSocketAddress.of(unix.group(1)));
        }
        Matcher tcp = TCP.matcher(text);
        if (tcp.matches()) {
            try {
                return tcp(tcp.group(1), tcp.group(2), Integer.parseInt(tcp.group(3)));
            } catch (IOException | IllegalArgumentException noAddress) {
                // told below
            }
        }
        fail(2, name + "='" + text
                + "': expected tcp://IPV4:PORT, tcp://[IPV6]:PORT or unix:///PATH");
        throw new AssertionError();
    }

    /** An address of digits only, so getByName() asks no name server. */
    private static Address tcp(String ipv6, String ipv4, int port) throws IOException {
        ProtocolFamily family =
                ipv6 == null ? StandardProtocolFamily.INET : StandardProtocolFamily.INET6;
        InetAddress host = InetAddress.getByName(ipv6 == null ? ipv4 : ipv6);
        if (port == 0) {
            throw new IllegalArgumentException();
        }
        return new Address(family, new InetSocketAddress(host, port));
    }

    private static int backlogFrom(String name, String otherwise) {
        String text = System.getenv().getOrDefault(name, otherwise);
        if (text.matches("[0-9]{1,5}")) {
            int backlog = Integer.parseInt(text);
            if (backlog >= 1 && backlog <= BACKLOG_MAX) {
                return backlog;
            }
        }
        fail(2, name + "='" + text + "': expected a number from 1 to " + BACKLOG_MAX);
        throw new AssertionError();
    }

    private static void fail(int exitCode, String message) {
        System.err.println("java: " + message);
        Runtime.getRuntime().halt(exitCode);
    }
}
