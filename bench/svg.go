package main

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// palette holds the colors of a picture in one mode.
type palette struct {
	background, text, muted, grid string
	peer, reaper, proven          string // of bars
}

// The picture has a background of its own, so that it can be read on any page.
var (
	light = palette{"#ffffff", "#1f2328", "#59636e", "#d1d9e0", "#818b98", "#0969da", "#8250df"}
	dark  = palette{"#0d1117", "#f0f6fc", "#9198a1", "#3d444d", "#7d8590", "#4493f8", "#ab7df8"}
)

// css gives the colors to the classes.
func (p palette) css() string {
	return fmt.Sprintf(".background{fill:%s}text{fill:%s}.muted{fill:%s}.grid{stroke:%s}.axis{stroke:%s}.range{stroke:%s}.value{stroke:%s}.peer{fill:%s}.reaper{fill:%s}.proven{fill:%s}",
		p.background, p.text, p.muted, p.grid, p.muted, p.text, p.background, p.peer, p.reaper, p.proven)
}

// shapesCSS is what both modes share.
const shapesCSS = "text{font:13px system-ui,sans-serif}.title{font-size:20px;font-weight:600}.heading{font-size:16px;font-weight:600}" +
	".group{font-weight:600}.middle{text-anchor:middle}.end{text-anchor:end}.grid,.axis{stroke-width:1}.range{stroke-width:2}.value{paint-order:stroke;stroke-width:4px}" // a value hides the lines behind it

// canvas is an SVG picture. Classes are those of the stylesheet.
type canvas struct {
	width float64
	body  strings.Builder
}

// box is a rectangle; y grows downwards.
type box struct{ x, y, width, height float64 }

func (c *canvas) rectangle(class string, b box) {
	fmt.Fprintf(&c.body, "<rect class=%q x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", class, b.x, b.y, b.width, b.height)
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.body, "<line class=%q x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2)
}

// text writes a line whose baseline is at y. It begins at x, or is centered there or ends there
// by its class.
func (c *canvas) text(class string, x, y float64, text string) {
	fmt.Fprintf(&c.body, "<text class=%q x=\"%.1f\" y=\"%.1f\">%s</text>\n", class, x, y, escaped(text))
}

// upwards writes a line from bottom to top, centered at y.
func (c *canvas) upwards(x, y float64, text string) {
	fmt.Fprintf(&c.body, "<text class=\"middle\" transform=\"translate(%.1f %.1f) rotate(-90)\">%s</text>\n", x, y, escaped(text))
}

// svg returns the file. title and description are for screen readers.
func (c *canvas) svg(height float64, title, description string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" role=\"img\">\n", c.width, height, c.width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n<desc>%s</desc>\n", escaped(title), escaped(description))
	fmt.Fprintf(&b, "<style>%s%s@media (prefers-color-scheme:dark){%s}</style>\n", shapesCSS, light.css(), dark.css())
	b.WriteString("<rect class=\"background\" width=\"100%\" height=\"100%\"/>\n")
	return b.String() + c.body.String() + "</svg>\n"
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder never fails
	return b.String()
}
