/**
 * Packages that are taken as given: what needs them are maintainer scripts, which never run. They are not in the image unless the
 * file asks for them by name. `perl-base` is here because scripts are written in it; a package that runs Perl programs itself needs `perl-base` in the file.
 */
export const packagesTakenAsGiven: readonly string[] = [
  'adduser',
  'base-passwd',
  'cdebconf',
  'debconf',
  'debianutils',
  'dpkg',
  'gpgv',
  'init-system-helpers',
  'install-info',
  'iproute2',
  'lsb-base',
  'mawk',
  'passwd',
  'perl-base',
  'sensible-utils',
  'sysvinit-utils',
  'tar',
  'ucf',
  'usr-is-merged',
  'usrmerge',
];

/** The package that says which distribution this is; only these of its files are taken, for scanners and programs that ask. */
export const identityPackage = 'base-files';
export const identityPaths: ReadonlySet<string> = new Set(['etc/debian_version', 'etc/os-release', 'usr/lib/os-release']);

const DOCUMENTATION = [
  'usr/share/bash-completion/',
  'usr/share/bug/',
  'usr/share/doc-base/',
  'usr/share/doc/',
  'usr/share/gnome/help/',
  'usr/share/help/',
  'usr/share/info/',
  'usr/share/lintian/',
  'usr/share/locale/',
  'usr/share/man/',
  'usr/share/zsh/',
];

/** Whether a package's path is documentation or a translation; licences (`copyright`) are neither. */
export function isDocumentation(path: string): boolean {
  if (/^usr\/share\/doc\/[^/]+\/copyright$/.test(path)) return false;
  return DOCUMENTATION.some(prefix => path.startsWith(prefix) || `${path}/` === prefix);
}

/** Directories that a merged /usr replaces by links. */
export const mergedDirectories: readonly string[] = ['bin', 'lib', 'lib32', 'lib64', 'libx32', 'sbin'];

/** The commands that `applets: all` links: what Debian's busybox-static has and scripts commonly use. */
export const usualApplets: readonly string[] = (
  '[ [[ arch arping ascii ash awk base64 basename bc bunzip2 bzcat bzip2 cal cat chgrp chmod chown chroot chvt clear cmp cp cpio ' +
  'crc32 crond cut date dc dd df diff dirname dmesg dnsdomainname dos2unix du echo ed egrep env expand expr factor fallocate false ' +
  'fgrep find fold free ftpget getopt grep groups gunzip gzip head hexdump hostid hostname httpd id ifconfig ip ipcalc ipneigh kill ' +
  'killall less link ln logger logname ls lzcat md5sum mkdir mkfifo mknod mkpasswd mktemp more mount mv nc netstat nl nologin nproc ' +
  'nsenter nslookup od paste patch pidof ping ping6 printf ps pwd readlink realpath renice reset rev rm rmdir route run-parts sed ' +
  'seq setpriv setsid sh sha1sum sha256sum sha512sum shred shuf sleep sort ssl_client start-stop-daemon stat strings stty su sync ' +
  'sysctl tac tail tar taskset tee telnet test tftp time timeout top touch tr traceroute true truncate ts tty udhcpc umount uname ' +
  'uncompress unexpand uniq unix2dos unlink unxz unzip uptime usleep uudecode uuencode vi watch wc wget which who whoami xargs xxd ' +
  'xz xzcat yes zcat'
).split(' ');
