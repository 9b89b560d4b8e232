--
-- The address guard: which addresses a call may go to.
--
CREATE EXTENSION pg_workflow;
\set VERBOSITY terse

-- every range that is no public host is refused, from its first address to its last
SELECT address, workflow._address_is_allowed(address) FROM unnest('{
  0.0.0.0, 0.255.255.255, 10.0.0.0, 10.255.255.255, 100.64.0.0, 100.100.100.200, 100.127.255.255,
  127.0.0.1, 127.255.255.255, 168.63.129.16, 169.254.0.0, 169.254.169.254, 169.254.255.255,
  172.16.0.0, 172.31.255.255, 192.0.0.0, 192.0.0.255, 192.0.2.1, 192.88.99.1, 192.168.0.0, 192.168.255.255,
  198.18.0.0, 198.19.255.255, 198.51.100.1, 203.0.113.1, 224.0.0.1, 239.255.255.255, 240.0.0.0, 255.255.255.255,
  ::, ::1, ::127.0.0.1, ::ffff:127.0.0.1, ::ffff:a9fe:a9fe, ::ffff:0:127.0.0.1,
  64:ff9b::127.0.0.1, 64:ff9b::a9fe:a9fe, 64:ff9b:1::1, 100::1, 2001::1, 2001:1ff:ffff::1, 2001:db8::1,
  2002:7f00:1::, 3fff::1, 3fff:fff::1, 4000::, 5f00::1, 8000::, fc00::1, fd00:ec2::254, fe80::1, febf::1, fec0::1, ff02::1
  }'::text[]) AS address WHERE workflow._address_is_allowed(address);

-- their neighbours are not
SELECT address, workflow._address_is_allowed(address) FROM unnest('{
  1.0.0.0, 9.255.255.255, 11.0.0.0, 100.63.255.255, 100.128.0.0, 126.255.255.255, 128.0.0.0, 168.63.129.15, 168.63.129.17,
  169.253.255.255, 169.255.0.0, 172.15.255.255, 172.32.0.0, 192.0.1.0, 192.0.3.0, 192.88.98.255, 192.88.100.0, 192.167.255.255,
  192.169.0.0, 198.17.255.255, 198.20.0.0, 198.51.99.255, 198.51.101.0, 203.0.112.255, 203.0.114.0, 223.255.255.255,
  ::ffff:1.1.1.1, 64:ff9b::1.1.1.1, 2000::1, 2001:200::1, 2001:db7:ffff::1, 2001:db9::1, 2003::1, 3ffe::1, 3fff:1000::1
  }'::text[]) AS address WHERE NOT workflow._address_is_allowed(address);

-- what is exempt is allowed, and nothing beside it
SELECT address, range, workflow._address_is_allowed(address, range) FROM (VALUES
  ('10.1.2.3', '10.1.0.0/16'), ('10.2.0.0', '10.1.0.0/16'), ('127.0.0.1', '127.0.0.1'), ('127.0.0.2', '127.0.0.1'),
  ('::ffff:10.1.2.3', '10.1.0.0/16'), ('64:ff9b::10.1.2.3', '10.1.0.0/16'), ('64:ff9b::10.2.0.0', '10.1.0.0/16'),
  ('::1', '::1/128'), ('::2', '::1/128'), ('fd00::1', 'fd00::/8'), ('127.0.0.1', '::/0'), ('::1', '0.0.0.0/0')) AS t(address, range);

-- a name is no address, nor is another way to write one
SELECT address, workflow._address_is_allowed(address)
FROM unnest('{localhost, 0x7f.1, 2130706433, 127.1, 1.1.1.1/8, fe80::1%eth0, ""}'::text[]) AS address
WHERE workflow._address_is_allowed(address, '0.0.0.0/0');
