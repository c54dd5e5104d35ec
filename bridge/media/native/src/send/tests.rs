use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use super::*;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn sink() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((LOCALHOST, 0)).unwrap();
    // Loopback delivers before the send returns, so everything is there when we read.
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut buffer = [0; 4_096];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect()
}

fn put(queue: &mut SendQueue, port: &UdpPort, to: SocketAddr, fill: u8, len: usize) {
    queue.slot(port, to, len).unwrap().fill(fill);
}

#[test]
fn every_backend_delivers_the_same_datagrams_in_order() {
    for host in [None, Some(LOCALHOST)] {
        for backend in Backend::ALL {
            let port = UdpPort::open(host, 0).unwrap();
            let mut queue = SendQueue::new(backend);
            let (first, first_address) = sink();
            let (second, second_address) = sink();
            let sizes = [1_100, 1_100, 1_100, 700, 1_100, 200, 300, 1];
            for (fill, len) in (0..).zip(sizes) {
                put(&mut queue, &port, first_address, fill, len);
            }
            put(&mut queue, &port, second_address, 9, 50);
            put(&mut queue, &port, first_address, 8, 50);
            queue.transmit(&port);
            assert!(queue.is_empty() && !queue.is_blocked());
            let mut expected: Vec<Vec<u8>> = (0..).zip(sizes).map(|(fill, len)| vec![fill; len]).collect();
            expected.push(vec![8; 50]);
            assert_eq!(received(&first), expected, "{backend}");
            assert_eq!(received(&second), [vec![9; 50]], "{backend}");
            assert_eq!(queue.backend(), backend, "nothing had to fall back");
        }
    }
}

#[test]
fn runs_respect_the_kernels_limits() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    let mut queue = SendQueue::new(Backend::Gso);
    let (_sink, to) = sink();
    for _ in 0..150 {
        put(&mut queue, &port, to, 1, 1_200);
    }
    for run in &queue.runs {
        assert!(run.count <= MAX_SEGMENTS && run.len <= MAX_RUN_BYTES);
    }
    assert_eq!(queue.runs.iter().map(|run| run.count).sum::<usize>(), 150);
    assert_eq!(queue.runs.len(), 3);
}

#[test]
fn a_cancelled_slot_is_not_sent() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    for backend in Backend::ALL {
        let mut queue = SendQueue::new(backend);
        let (sink, to) = sink();
        put(&mut queue, &port, to, 1, 100);
        queue.cancel();
        put(&mut queue, &port, to, 2, 100);
        put(&mut queue, &port, to, 3, 60);
        queue.cancel();
        queue.cancel(); // only the newest can be given back
        put(&mut queue, &port, to, 4, 100);
        queue.transmit(&port);
        queue.cancel(); // gone out already
        assert_eq!(received(&sink), [vec![2; 100], vec![4; 100]], "{backend}");
    }
}

#[test]
fn more_than_the_arena_goes_out_in_between() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    for backend in Backend::ALL {
        let mut queue = SendQueue::new(backend);
        // Several sinks, so that none of their own buffers is filled: that is not what is tested.
        let sinks: Vec<_> = (0..8).map(|_| sink()).collect();
        let rounds = 2 * ARENA_BYTES / 8_000;
        for round in 0..rounds {
            for (_, to) in &sinks {
                put(&mut queue, &port, *to, u8::try_from(round).unwrap(), 1_000);
            }
        }
        queue.transmit(&port);
        let expected: Vec<Vec<u8>> =
            (0..rounds).map(|round| vec![u8::try_from(round).unwrap(); 1_000]).collect();
        for (socket, _) in &sinks {
            assert_eq!(received(socket), expected, "{backend}");
        }
    }
}

#[test]
fn an_unreachable_address_is_reported_and_stops_nothing() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    // A socket bound to loopback cannot reach the outside; an IPv4 socket cannot write IPv6 addresses.
    let unreachable: [SocketAddr; 2] = ["192.0.2.1:9".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()];
    for backend in Backend::ALL {
        let mut queue = SendQueue::new(backend);
        let (sink, to) = sink();
        for bad in unreachable {
            put(&mut queue, &port, to, 1, 10);
            put(&mut queue, &port, bad, 2, 10);
            put(&mut queue, &port, bad, 2, 10);
        }
        put(&mut queue, &port, to, 3, 10);
        queue.transmit(&port);
        assert!(queue.is_empty());
        assert_eq!(received(&sink).len(), 3, "{backend}");
        let refused = queue.take_refused();
        for bad in unreachable {
            assert!(refused.contains(&bad), "{backend}");
        }
        assert!(!refused.contains(&to), "{backend}");
        assert!(queue.take_refused().is_empty());
    }
}

#[test]
fn a_run_over_the_paths_mtu_goes_out_as_single_datagrams() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    let mut queue = SendQueue::new(Backend::Gso);
    let (sink, to) = sink();
    // Loopback's MTU is 65536, so refuse on its behalf.
    for fill in 0..3 {
        put(&mut queue, &port, to, fill, 100);
    }
    queue.gso_worked = true;
    queue.give_up_run(&port, &io::Error::from_raw_os_error(libc::EMSGSIZE));
    assert_eq!(received(&sink), [[0; 100], [1; 100], [2; 100]]);
    assert_eq!(queue.backend(), Backend::Gso, "other paths keep segmenting");
    assert!(queue.take_refused().is_empty());
    queue.transmit(&port);
    for fill in 0..3 {
        put(&mut queue, &port, to, fill, 100);
    }
    queue.give_up_run(&port, &io::Error::from_raw_os_error(libc::EIO));
    assert_eq!(received(&sink).len(), 3);
    assert_eq!(queue.backend(), Backend::SendMmsg, "the device cannot");
}

#[test]
fn while_the_kernel_is_full_only_small_datagrams_get_the_last_room() {
    let port = UdpPort::open(Some(LOCALHOST), 0).unwrap();
    let mut queue = SendQueue::new(Backend::Gso);
    let (_sink, to) = sink();
    queue.blocked = true;
    let mut large = 0;
    while queue.used + 1_000 <= ARENA_BYTES / 4 * 3 {
        put(&mut queue, &port, to, 1, 1_000);
        large += 1;
    }
    assert!(large > 100);
    assert!(queue.slot(&port, to, 1_000).is_none());
    assert!(queue.slot(&port, to, 200).is_some());
}
