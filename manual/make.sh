#!/bin/sh
# Makes the manual as HTML: manual pages by mandoc, documents by cmark-gfm.
# usage: manual/make.sh SOURCE OUTPUT VERSION
set -eu
source=$1 output=$2 version=$3
for tool in mandoc cmark-gfm perl; do
	command -v $tool >/dev/null || { echo "make html needs $tool" >&2; exit 1; }
done
others=https://manpages.debian.org/
rm -rf "$output"
mkdir -p "$output/man"
cp "$source/manual/style.css" "$output"

# Standard input becomes the body of a page. Links in it to documents and to our
# manual pages lead to their pages here, and names of manual pages become links.
# Headings get the anchors that forges give them.
page() {	# file title path-to-top
	page_title=$2 page_top=$3 page_version=$version page_names=$names page_others=$others perl -0777 -ne '
		my ($title, $top, $version, $names, $others) =
			@ENV{qw(page_title page_top page_version page_names page_others)};
		sub slug { my $s = lc shift; $s =~ s/<[^>]*>|&[a-z]+;//g; $s =~ s/[^\w\- ]//g; $s =~ tr/ /-/; $s }
		s/<(h[1-6])>(.*?)<\/\1>/"<$1 id=\"" . slug($2) . "\">$2<\/$1>"/ges;
		s/(<a [^>]*href="(?!https?:)[^"#]*)\.md(["#])/$1.html$2/g;
		s/"\Q$others\E($names)\.([1-9])"/"${top}man\/$1.$2.html"/g;
		my $out = "";
		for my $part (split /(<a\b.*?<\/a>|<pre\b.*?<\/pre>|<[^>]*>)/s) {
			$part =~ s/(?<![\w.])($names)\(([1-9])\)/<a href="${top}man\/$1.$2.html">$1($2)<\/a>/g unless $part =~ /^</;
			$out .= $part;
		}
		print "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
			"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
			"<title>$title - HAKMEM $version</title>\n<link rel=\"stylesheet\" href=\"${top}style.css\">\n",
			"</head>\n<body>\n<nav><a href=\"${top}index.html\">HAKMEM $version</a>",
			" <span class=\"page\">$title</span></nav>\n$out</body>\n</html>\n"' >"$1"
}

# Of pages that a build in the source tree made, which are a line that leads to another, none.
pages=$(cd "$source/man" && grep -L '^\.so ' *.[1-9] || :)
names=$(for page in $pages; do echo "${page%.*}"; done | sort -u | sed 's/\./\\./g' | paste -s -d '|' -)

for page in $pages; do
	mandoc -T html -O "fragment,man=$others%N.%S" "$source/man/$page" |
		page "$output/man/$page.html" "${page%.*}(${page##*.})" ../
done

title() {	# document
	sed -n 's/^# //p' "$source/$1" | head -n 1
}
documents=$(cd "$source" && ls *.md docs/*.md 2>/dev/null || :)
for document in $documents; do
	case $document in */*) top=../ ;; *) top= ;; esac
	mkdir -p "$output/$(dirname "$document")"
	cmark-gfm -e table "$source/$document" | page "$output/${document%.md}.html" "$(title "$document")" "$top"
done
for picture in $(cd "$source" && ls docs/*.svg docs/*/*.svg 2>/dev/null || :); do
	mkdir -p "$output/$(dirname "$picture")"
	cp "$source/$picture" "$output/$picture"
done

for document in $documents; do
	[ "$document" = README.md ] || echo "- [$(title "$document")]($document)"
done >"$output/list"
sed -e "s/@VERSION@/$version/" -e "/@DOCUMENTS@/{r $output/list
d;}" "$source/manual/index.md" | cmark-gfm -e table | page "$output/index.html" "Manual" ''
rm "$output/list"
