#!/bin/sh
# examples/, as far as they can be checked without an engine: what reads the
# files elsewhere is stood in for by its documented rules.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
library=${HAKMEM_TEST_LIBRARY:?run by make check}
examples=$HAKMEM_TEST_SOURCE/examples
profile=$HAKMEM_TEST_SOURCE/etc/hakmem/balanced.env

# systemd: the drop-in of a unit that exists.
mkdir -p "$work/my.service.d"
printf '[Service]\nExecStart=/bin/true\n' >"$work/my.service"
cp "$examples/systemd-dropin.conf" "$work/my.service.d/hakmem.conf"
if command -v systemd-analyze >/dev/null; then
	systemd-analyze --man=no --recursive-errors=no verify "$work/my.service" >"$work/why" 2>&1 && [ ! -s "$work/why" ]
	check $? "the drop-in passes systemd-analyze verify"
	echo 'EnvironmentFil=/x' >>"$work/my.service.d/hakmem.conf"
	systemd-analyze --man=no --recursive-errors=no verify "$work/my.service" 2>&1 | grep -q 'hakmem.conf.*EnvironmentFil'
	check $? "which reads the drop-in"
else
	skip "the drop-in passes systemd-analyze verify" "no systemd"
fi
# systemd.syntax(7): a section, then assignments, comments begin with # or ;
grep -v -E '^(#|;|$)' "$examples/systemd-dropin.conf" >"$work/why"
[ "$(head -n 1 "$work/why")" = '[Service]' ] && ! sed 1d "$work/why" | grep -v -E '^EnvironmentFile=-?/[^ ]*$'
check $? "the drop-in has a section, and a path in each line"
grep -q "^EnvironmentFile=/etc/hakmem/$(basename "$profile")\$" "$examples/systemd-dropin.conf"
check $? "it names the profile"

for shell in dash bash 'busybox sh'; do
	if ! command -v ${shell%% *} >/dev/null; then
		skip "run.sh with $shell" "not installed"
		continue
	fi
	# The library of this build stands in for the installed one.
	sed "s|^LD_PRELOAD=.*|LD_PRELOAD=$library|" "$profile" >"$work/balanced.env"
	env -i PATH="$PATH" HAKMEM_FILE="$work/balanced.env" $shell "$examples/run.sh" cat /proc/self/maps /proc/self/environ \
		2>"$work/why" | tr '\0' '\n' >"$work/out"
	grep -q "libhakmem.so.1" "$work/out" && grep -qx HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:128:16 "$work/out" &&
		grep -qx HAKMEM_PROFILE=balanced "$work/out" && [ ! -s "$work/why" ]
	check $? "run.sh with $shell: the library, the profile, and the setting after it"
	env -i PATH="$PATH" HAKMEM_FILE="$work/balanced.env" $shell "$examples/run.sh" sh -c 'exit 7' 2>"$work/why"
	[ $? = 7 ]
	check $? "run.sh with $shell: the status is the program's"
done

if ! python3 -c 'import yaml' 2>/dev/null; then
	skip "compose.yaml and kubernetes.yaml" "no python3-yaml"
	finish
	exit
fi
cat >"$work/read.py" <<'END'
import sys
import yaml

examples, profile, what = sys.argv[1:]


def docker(path):
    """As docker reads an --env-file: comments, and the rest as it stands."""
    lines = open(path, encoding='ascii').read().splitlines()
    return dict(line.split('=', 1) for line in lines if line and not line.startswith('#'))


def load(name):
    return list(yaml.safe_load_all(open(f'{examples}/{name}', encoding='ascii')))


def strings(values):
    return all(isinstance(v, str) for pair in values.items() for v in pair)


file = docker(profile)
if what == 'compose':
    service, = load('compose.yaml')[0]['services'].values()
    assert service['env_file'] == ['/etc/hakmem/' + profile.split('/')[-1]], service
    assert strings(service['environment']), service
    own = service['environment']
else:
    config, pod = load('kubernetes.yaml')
    assert (config['kind'], pod['kind']) == ('ConfigMap', 'Pod')
    assert strings(config['data']), 'Kubernetes takes strings alone'
    assert config['data'] == file, dict(config['data'].items() ^ file.items())
    container, = pod['spec']['containers']
    assert container['envFrom'] == [{'configMapRef': config['metadata']}], container
    own = {e['name']: e['value'] for e in container['env']}
    assert strings(own), own
assert own and set(own) < set(file), set(own) - set(file)
print(*(f'{k}={v}' for k, v in {**file, **own}.items() if k != 'LD_PRELOAD'), sep='\n')
END
for what in compose kubernetes; do
	python3 "$work/read.py" "$examples" "$profile" $what >"$work/given" 2>"$work/why"
	check $? "$what: the profile's values, and own settings after them"
	env -i LD_PRELOAD="$library" $(cat "$work/given") "$(command -v true)" 2>"$work/why"
	[ $? = 0 ] && [ ! -s "$work/why" ]
	check $? "$what: the library takes them all"
done

# Dockerfile: instructions and their continuations; what it loads and copies.
sed -e :a -e '/\\$/N; s/\\\n//; ta' "$examples/Dockerfile" | grep -v '^#' >"$work/lines"
! grep -v -E '^(FROM|COPY|RUN|CMD|ENV) ' "$work/lines" >"$work/why" && head -n 1 "$work/lines" | grep -q '^FROM '
check $? "Dockerfile: instructions, FROM first"
sed -n 's/^RUN //p' "$work/lines" | while read -r line; do sh -n -c "$line" || exit 1; done 2>"$work/why"
check $? "Dockerfile: commands that a shell can read"
grep -q "env-file /etc/hakmem/$(basename "$profile")" "$examples/Dockerfile"
check $? "Dockerfile: how to run it with the profile"
finish
