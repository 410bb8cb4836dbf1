#!/bin/sh
# make html: each local link of each page leads somewhere, and each page can be
# reached from the first one.
. "${HAKMEM_TEST_SOURCE:?run by make check}/tests/tap.sh"
for tool in mandoc cmark-gfm perl python3; do
	command -v $tool >/dev/null || { echo "1..0 # SKIP no $tool"; exit 0; }
done
version=$(sed -n 's/^AC_INIT(\[hakmem\], \[\(.*\)\])/\1/p' "$HAKMEM_TEST_SOURCE/configure.ac")
html=$work/html
sh "$HAKMEM_TEST_SOURCE/manual/make.sh" "$HAKMEM_TEST_SOURCE" "$html" "$version" 2>"$work/why"
check $? "the manual is made"

cat >"$work/links.py" <<'END'
import html.parser, os, sys, urllib.parse

class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(open(path, encoding="utf-8").read())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src"):
                self.links.append(value)

top = os.path.realpath(sys.argv[1])
pages = {os.path.join(folder, name): None for folder, _, names in os.walk(top)
         for name in names if name.endswith(".html")}
for path in pages:
    pages[path] = Page(path)
reached, waiting = set(), [os.path.join(top, "index.html")]
while waiting:
    path = waiting.pop()
    if path in reached:
        continue
    reached.add(path)
    for link in pages[path].links:
        parts = urllib.parse.urlsplit(link)
        if parts.scheme:
            continue
        to = os.path.normpath(os.path.join(os.path.dirname(path), urllib.parse.unquote(parts.path))) if parts.path else path
        name = os.path.relpath(path, top)
        if not to.startswith(top + "/") or not os.path.isfile(to):
            print("broken:", name, link)
        elif parts.fragment and urllib.parse.unquote(parts.fragment) not in pages[to].ids:
            print("no such anchor:", name, link)
        elif to in pages:
            waiting.append(to)
for path in pages.keys() - reached:
    print("not reached:", os.path.relpath(path, top))
END
python3 "$work/links.py" "$html" >"$work/why" 2>&1 && [ ! -s "$work/why" ]
check $? "every local link works, and every page is reached"
for page in index README docs/benchmarks man/hakmem.1 man/hakmem.3 man/hakmem.7 man/hakmem.env.5 man/hak_stats_get.3; do
	[ -s "$html/$page.html" ] && grep -q "<title>.* - HAKMEM $version</title>" "$html/$page.html"
	check $? "there is $page.html"
done
grep -q 'href="../man/hakmem.env.5.html"' "$html/man/hakmem.7.html" && ! grep -rn 'debian.org/hak' "$html" >"$work/why"
check $? "manual pages link to each other"
grep -q 'href="https://manpages.debian.org/malloc.3"' "$html/man/hakmem.3.html"
check $? "and to those of Debian"
grep -q 'href="man/hakmem.7.html"' "$html/README.html"
check $? "documents link to manual pages"
! grep -rn 'src="https\?:\|rel="stylesheet" href="https\?:\|<script' "$html" >"$work/why"
check $? "nothing is loaded from elsewhere"

# The checks above notice what they look for.
echo '<a href="gone.html">x</a> <a href="#gone">x</a>' >>"$html/README.html"
echo '<p>' >"$html/lost.html"
python3 "$work/links.py" "$html" | sed 's/:.*//' | sort >"$work/found"
printf 'broken\nno such anchor\nnot reached\n' | diff - "$work/found" >"$work/why"
check $? "a broken link, a missing anchor and a lost page are found"
finish
